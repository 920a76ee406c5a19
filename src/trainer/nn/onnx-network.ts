/** @file A network that came as an ONNX graph, as a velocity: its graph is added to ours, for any batch. */
import { FlowstepError } from '../../errors.ts';
import { conventionalVelocity } from '../flow/conventions.ts';
import { convertedTo } from '../graph/convert-tensor.ts';
import { Graph, type Value } from '../graph/graph.ts';
import { type DeclaredInput, decodeGraph, formatOpenShape } from '../graph/onnx-decode.ts';
import { parseStructure } from '../graph/onnx-structure.ts';
import { decodeTensor, type GraphMessage } from '../graph/onnx-tensors.ts';
import { add, cast, equal, reshape, slice } from '../graph/ops.ts';
import { formatShape } from '../graph/shapes.ts';
import { type DType, type Shape, sameShape, sizeOf } from '../tensor.ts';
import { fanIn } from './layers.ts';
import type { Condition } from './network.ts';
import type { OnnxConfig } from './onnx-config.ts';
import { type Init, ParameterScope, type Scope } from './parameters.ts';

/** v(x, t, condition): x [B, ...shape], t [B] -> like x. Throws MODEL_INVALID when the graph does not fit its configuration. */
export function onnxVelocity(
  scope: Scope,
  config: OnnxConfig,
  x: Value,
  t: Value,
  condition: Condition,
): Value {
  return conventionalVelocity(config, x, t, (input, time) =>
    network(scope, config, { x: input, time, condition }),
  );
}

interface Arguments {
  readonly x: Value;
  /** [B] */
  readonly time: Value;
  readonly condition: Condition;
}

function network(scope: Scope, config: OnnxConfig, given: Arguments): Value {
  const { graph } = scope;
  const floats = given.x.dtype;
  const frozen = new Set(config.frozen);
  const outputs = decodeGraph(graph, structureOf(config), {
    file: 'the ONNX graph',
    floats,
    input: (declared) =>
      fedInput(config, given, declared) ??
      scope.parameter(
        declared.name,
        declared.shape as Shape,
        frozen.has(declared.name) ? FROZEN : initOf(declared.name, declared.shape as Shape),
      ),
    initializer: (tensor) => {
      const what = `tensor "${tensor.name}"`;
      return graph.constant(convertedTo(decodeTensor(tensor, what, 'the ONNX graph'), floats));
    },
  });
  const [out] = outputs.values();
  return asSample(cast(out!, floats), given.x);
}

/** The output as a sample; of twice the channels, the second half is a variance, which nothing here reads. */
function asSample(out: Value, x: Value): Value {
  if (sameShape(out.shape, x.shape)) return out;
  const channels = x.shape[1]!;
  if (x.shape.length > 2 && sameShape(out.shape, x.shape.with(1, 2 * channels))) {
    return slice(out, 1, 0, channels);
  }
  throw invalid(
    `the output for ${formatShape(x.shape)} is ${formatShape(out.shape)}: it must be of the same shape, or of twice the channels`,
  );
}

/** What an input of the graph is fed; undefined for a weight. */
function fedInput(
  { inputs, classes, contextWidth, pooledWidth }: OnnxConfig,
  { x, time, condition }: Arguments,
  { name, dtype, shape }: DeclaredInput,
): Value | undefined {
  const float = (value: Value) => {
    requireShape(name, value.shape, shape);
    return value;
  };
  const [batch] = x.shape as [number];
  switch (name) {
    case inputs.x:
      return float(x);
    case inputs.time: {
      const whole = /float/.test(dtype) ? time : cast(add(time, 0.5), dtype);
      const axes = new Array<number>(Math.max((shape?.length ?? 1) - 1, 0)).fill(1);
      const value = reshape(whole, [batch, ...axes]);
      requireShape(name, value.shape, shape);
      return value;
    }
    case inputs.labels:
      return labelsAs(name, condition.labels, { batch, classes, dtype, shape, floats: x.dtype });
    case inputs.context:
      if (condition.context && contextWidth > 0) return float(condition.context);
      throw invalid(`the input "${name}" needs text`);
    case inputs.pooled:
      if (condition.pooled && pooledWidth > 0) return float(condition.pooled);
      throw invalid(`the input "${name}" needs text`);
    default:
      return undefined;
  }
}

interface LabelForm {
  readonly batch: number;
  readonly classes: number;
  readonly dtype: DType;
  readonly shape: DeclaredInput['shape'];
  /** The type of numbers with a fraction in the graph. */
  readonly floats: DType;
}

/** Labels as numbers, or as one-hot rows of which that without a class is zeros. */
function labelsAs(name: string, labels: Value | undefined, form: LabelForm): Value {
  const { batch, classes, dtype, shape, floats } = form;
  if (!labels || classes === 0) throw invalid(`the input "${name}" needs labels`);
  if (!/float/.test(dtype)) {
    requireShape(name, labels.shape, shape);
    return cast(labels, dtype);
  }
  const numbers = BigInt64Array.from({ length: classes }, (_, i) => BigInt(i));
  const range = labels.graph.constant({ dtype: 'int64', shape: [1, classes], data: numbers });
  const hot = equal(reshape(labels, [batch, 1]), range);
  requireShape(name, hot.shape, shape);
  return cast(hot, floats);
}

function requireShape(name: string, given: Shape, declared: DeclaredInput['shape']): void {
  if (!declared) return;
  // The first axis is the batch, whatever the file says of it.
  const fits =
    declared.length === given.length &&
    declared.every((d, i) => i === 0 || d === undefined || d === given[i]);
  if (fits) return;
  throw invalid(
    `the input "${name}" is ${formatOpenShape(declared)} in the file and is fed ${formatShape(given)}`,
  );
}

function invalid(problem: string): FlowstepError {
  return new FlowstepError('MODEL_INVALID', `the ONNX network cannot be used: ${problem}`, {
    hint: 'Correct its declaration and load its .onnx file again.',
  });
}

/** Of weights that are never trained. Their values come with the model; there is no way to draw them. */
const FROZEN: Init = {
  kind: 'fixed',
  values: () => {
    throw new FlowstepError(
      'VALUE_OUT_OF_RANGE',
      'a network that came as ONNX with frozen weights cannot start from random weights',
      { field: 'init', hint: 'Start from the teacher.' },
    );
  },
};

/** An ONNX file does not say how its weights began: matrices as PyTorch's layers do, gains at 1, biases at 0. */
function initOf(name: string, shape: Shape): Init {
  if (shape.length > 1) return fanIn(sizeOf(shape.slice(1)));
  return /(weight|scale|gamma)$/.test(name) ? { kind: 'ones' } : { kind: 'zeros' };
}

/** Graphs that stay parsed: a teacher, its student and a few more. */
const MAX_KEPT = 8;
const kept = new Map<string, GraphMessage>();

function structureOf({ graph }: OnnxConfig): GraphMessage {
  const found = kept.get(graph) ?? parseStructure(Buffer.from(graph, 'base64'));
  kept.delete(graph);
  kept.set(graph, found);
  const [oldest] = kept.keys();
  if (kept.size > MAX_KEPT && oldest !== undefined) kept.delete(oldest);
  return found;
}

/** Elements of the widest value that depends on a sample. */
export function onnxActivations(config: OnnxConfig): number {
  const graph = new Graph();
  const x = graph.input('x', [1, ...config.shape]);
  const condition = {
    labels: config.classes > 0 ? graph.input('labels', [1], 'int64') : undefined,
    context: graph.input('context', [1, Math.max(config.tokens, 1), config.contextWidth]),
    pooled: graph.input('pooled', [1, config.pooledWidth]),
  };
  onnxVelocity(new ParameterScope(graph, 'network'), config, x, graph.input('t', [1]), condition);
  const depends = new Set([x.node]);
  let widest = sizeOf(config.shape);
  for (const node of graph.nodes) {
    if (!node.inputs.some((v) => depends.has(v.node))) continue;
    depends.add(node);
    for (const { shape } of node.outputs) widest = Math.max(widest, sizeOf(shape));
  }
  return widest;
}

/** What there is to say of the network without its graph. */
export function onnxSummary(config: OnnxConfig) {
  const { kind, shape, predicts, time, classes, contextWidth, pooledWidth } = config;
  return {
    kind,
    shape: shape.join(' x '),
    predicts,
    time,
    nodes: structureOf(config).node.length,
    ...(classes > 0 && { classes }),
    ...(contextWidth > 0 && { contextWidth, pooledWidth }),
  };
}
