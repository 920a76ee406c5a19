/** @file A small convolutional classifier of grey pictures, whose last layer but one is the space of Fashion-MNIST's scores. */
import { gradients } from '../src/trainer/autodiff/gradients.ts';
import { Graph, type Value } from '../src/trainer/graph/graph.ts';
import { encodeOnnx } from '../src/trainer/graph/onnx-encode.ts';
import { ModelProto } from '../src/trainer/graph/onnx-format.ts';
import {
  convolution,
  exp,
  log,
  max,
  mul,
  reduceMean,
  reduceSum,
  sub,
} from '../src/trainer/graph/ops.ts';
import { EXTRACTOR_KEY, type Extractor } from '../src/trainer/metrics/extractor.ts';
import { linear } from '../src/trainer/nn/layers.ts';
import {
  type ParameterList,
  ParameterScope,
  type Scope,
  views,
} from '../src/trainer/nn/parameters.ts';
import { sizeOf } from '../src/trainer/tensor.ts';

export const CLASSES = 10;
/** Numbers of the layer that scores are taken in. */
export const FEATURES = 64;

/** Convolutions of 3 x 3: output channels and stride. */
const STAGES = [
  { channels: 16, stride: 1 },
  { channels: 32, stride: 2 },
  { channels: 64, stride: 1 },
  { channels: 48, stride: 2 },
] as const;

/** How the file says that pictures are prepared: a byte b becomes b / 127.5 - 1. */
export const EXTRACTOR = {
  name: 'fashion-classifier-1',
  preprocessing: {
    size: null,
    filter: 'bilinear',
    channels: 'grey',
    layout: 'nchw',
    subtract: 127.5,
    divide: 127.5,
  },
  features: 'features',
  logits: 'logits',
} as const satisfies Extractor;

const relu = (x: Value): Value => max(x, 0);

/** Features [B, 64] and logits [B, classes] of pictures [B, C, S, S] in [-1, 1]. */
export function classifier(
  scope: Scope,
  pictures: Value,
  classes = CLASSES,
): { features: Value; logits: Value } {
  let h = pictures;
  for (const [i, { channels, stride }] of STAGES.entries()) {
    h = relu(filtered(scope, `conv${i}`, h, channels, 3, { strides: [stride, stride], pads: ONE }));
  }
  // A kernel as large as the picture is a linear layer that needs no reshaping by the number of pictures.
  const pooled = filtered(scope, 'features', h, FEATURES, h.shape[2]!, {});
  const features = relu(reduceMean(pooled, [2, 3]));
  return { features, logits: linear(scope, 'logits', features, classes) };
}

const ONE = [1, 1, 1, 1];

/** He et al. 2015: uniform with bound sqrt(6 / inputs of a sum) keeps the variance behind a ReLU. */
function filtered(
  scope: Scope,
  name: string,
  x: Value,
  channels: number,
  size: number,
  window: Parameters<typeof convolution>[3],
): Value {
  const shape = [channels, x.shape[1]!, size, size];
  const bound = Math.sqrt(6 / sizeOf(shape.slice(1)));
  const weight = scope.parameter(`${name}.weight`, shape, { kind: 'uniform', bound });
  const bias = scope.parameter(`${name}.bias`, [channels], { kind: 'zeros' });
  return convolution(x, weight, bias, window);
}

/** Mean cross entropy of logits [B, C] and shares of the classes [B, C]. */
export function crossEntropy(logits: Value, shares: Value): Value {
  const total = log(reduceSum(exp(logits), [1]));
  return reduceMean(sub(total, reduceSum(mul(logits, shares), [1])));
}

/** The loss of a batch of pictures and its gradients by name, as a graph. */
export function classifierLoss(batch: number, list: ParameterList): Graph {
  const graph = new Graph();
  const pictures = graph.input('pictures', [batch, 1, 28, 28]);
  const shares = graph.input('shares', [batch, CLASSES]);
  const scope = new ParameterScope(graph, 'classifier');
  const loss = crossEntropy(classifier(scope, pictures).logits, shares);
  graph.output('loss', loss);
  const found = gradients(loss, scope.values(), []);
  for (const [i, { name }] of list.specs.entries()) graph.output(`gradient/${name}`, found[i]!);
  return graph;
}

export function classifierParameters(): ParameterList {
  const graph = new Graph();
  const scope = new ParameterScope(graph, 'classifier');
  classifier(scope, graph.input('pictures', [1, 1, 28, 28]));
  return scope.list();
}

/** The trained network as an .onnx file that declares itself as an extractor; any number of pictures. */
export function classifierFile(list: ParameterList, weights: Float32Array): Uint8Array {
  const graph = new Graph();
  const tensors = views(list, weights);
  const scope: Scope = {
    graph,
    parameter: (name) => graph.constant(tensors.get(name)!),
  };
  const outputs = classifier(scope, graph.input('pictures', [1, 1, 28, 28]));
  for (const [name, value] of Object.entries(outputs)) graph.output(name, value);
  const file = encodeOnnx(graph, { [EXTRACTOR_KEY]: JSON.stringify(EXTRACTOR) });
  return withOpenBatch(file);
}

/** No operator of the network has the batch among its constants, so that only the declared shapes must change. */
function withOpenBatch(file: Uint8Array): Uint8Array {
  const model = ModelProto.toObject(ModelProto.decode(file), { arrays: true });
  for (const port of [...model['graph'].input, ...model['graph'].output]) {
    port.type.tensorType.shape.dim[0] = { dimParam: 'N' };
  }
  return ModelProto.encode(ModelProto.fromObject(model)).finish();
}
