/** @file A network in an .onnx file as a network of ours: its graph becomes the configuration, its weights the parameters. */
import { readFile } from 'node:fs/promises';
import { FlowstepError } from '../../errors.ts';
import { widened } from '../graph/convert-tensor.ts';
import { Graph } from '../graph/graph.ts';
import { checkModel, type DeclaredInput, decodeGraph } from '../graph/onnx-decode.ts';
import { encodeStructure, partFor } from '../graph/onnx-structure.ts';
import {
  decodeTensor,
  dtypeOf,
  type GraphMessage,
  isExternal,
  type ModelMessage,
  parseModel,
  type TensorMessage,
} from '../graph/onnx-tensors.ts';
import { parameterList } from '../nn/network.ts';
import { type OnnxConfig, OnnxConfigSchema } from '../nn/onnx-config.ts';
import type { Tensor } from '../tensor.ts';
import { findDeclaration, type OnnxDeclaration, requireDeclaration } from './onnx-declaration.ts';
import { type ExternalPlace, externalPlaces, readExternal } from './onnx-external-data.ts';
import { checkInputs, invalidOnnx, sampleShapeOf, textOf } from './onnx-inputs.ts';
import { readError } from './read-error.ts';

/** What an .onnx file holds once its declaration is known. */
export interface OnnxNetwork {
  readonly config: OnnxConfig;
  readonly declaration: OnnxDeclaration;
  readonly metadata: Readonly<Record<string, string>>;
  /** Where the weights are, in the order of the parameters. */
  readonly weights: readonly TensorMessage[];
  readonly places: ReadonlyMap<string, ExternalPlace>;
}

/** Names in a message. */
const LISTED = 12;

/** Largest file that is read: what a protocol buffer can hold. */
const MAX_BYTES = 2 ** 31;

/**
 * The network that a file holds; throws MODEL_INVALID naming all that is wrong with it - operators that are not known, inputs
 * that are missing or not declared, shapes, data outside of its folder - before any weight is read.
 */
export async function openOnnxNetwork(file: string): Promise<OnnxNetwork> {
  const bytes = await readFile(file).catch((error: unknown) => {
    throw readError(file, error);
  });
  if (bytes.length > MAX_BYTES) throw invalidOnnx(file, `it has ${bytes.length} bytes`);
  const model = parseModel(bytes, file);
  const declaration = requireDeclaration(file, await findDeclaration(file, model));
  if (declaration.graph === 'sampler') {
    throw invalidOnnx(file, 'it holds a sampler, from noise to samples, not a velocity', {
      hint: 'Load the model that it was exported from, or export it with --graph velocity.',
    });
  }
  return asModelErrors(() => describe(file, model, declaration));
}

/** The weights as one vector in the order of the network's parameters. Throws as reading a file does. */
export async function readOnnxWeights(file: string, network: OnnxNetwork): Promise<Float32Array> {
  const list = parameterList(network.config);
  const flat = new Float32Array(list.size);
  const byName = new Map(network.weights.map((tensor) => [tensor.name, tensor]));
  for (const { name, offset } of list.specs) {
    const place = network.places.get(name);
    const external = place && (await readExternal(place));
    const tensor = decodeTensor(byName.get(name)!, `tensor "${name}"`, file, external);
    flat.set(widened(tensor), offset);
  }
  return flat;
}

async function describe(
  file: string,
  model: ModelMessage,
  declaration: OnnxDeclaration,
): Promise<OnnxNetwork> {
  const whole = checkModel(model, file);
  const found = partFor(whole, declaration.output ?? whole.output[0]!.name, file);
  const fed = checkInputs(file, whole, found, declaration);
  const places = await externalPlaces(file, found.initializer);
  const part = { ...found, initializer: await withConstants(file, found.initializer, places) };
  const shape = sampleShapeOf(file, fed, declaration);
  const text = textOf(file, fed, declaration.inputs);
  const weights = weightsOf(file, part, declaration, { shape, fed, ...text });
  const names = new Set(weights.map(({ name }) => name));
  const { inputs, predicts, time, sigmas, chain, latest } = declaration;
  const parsed = OnnxConfigSchema.safeParse({
    kind: 'onnx',
    shape,
    graph: Buffer.from(encodeStructure(model, part, names)).toString('base64'),
    inputs,
    predicts,
    time,
    sigmas,
    chain,
    latest,
    classes: declaration.classes ?? 0,
    ...text,
    frozen: frozenNames(file, [...names], declaration.frozen),
  });
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw invalidOnnx(file, `${issue!.path.join('.')}: ${issue!.message}`);
  }
  // Builds the graph once: what does not fit is told here.
  parameterList(parsed.data);
  const metadata = Object.fromEntries(model.metadataProps.map(({ key, value }) => [key, value]));
  return { config: parsed.data, declaration, metadata, weights, places };
}

interface Fitting {
  readonly shape: readonly number[];
  readonly fed: ReadonlyMap<string, DeclaredInput>;
  readonly tokens: number;
}

/**
 * The initialisers that can be trained: those of floats, but scalars, which exporters make of numbers in the code, and what a
 * shape depends on. Decodes the graph for a batch of two, so that whatever cannot be decoded is told.
 */
function weightsOf(
  file: string,
  part: GraphMessage,
  { inputs }: OnnxDeclaration,
  { shape, fed, tokens }: Fitting,
): TensorMessage[] {
  const graph = new Graph();
  const byName = new Map(part.initializer.map((tensor) => [tensor.name, tensor]));
  const fixed = new Set<string>();
  const tensorOf = (name: string): Tensor | undefined => {
    const tensor = byName.get(name);
    if (!tensor || isExternal(tensor)) return undefined;
    fixed.add(name);
    return decodeTensor(tensor, `tensor "${name}"`, file);
  };
  decodeGraph(graph, part, {
    file,
    tensorOf,
    input: ({ name, dtype }) => {
      const rest = fed.get(name)!.shape?.slice(1);
      const known = name === inputs.x ? shape : rest?.map((d) => d ?? (tokens || 1));
      return graph.input(name, [2, ...(known ?? [])], dtype);
    },
    initializer: (tensor) => {
      const dtype = dtypeOf(tensor.dataType, `tensor "${tensor.name}"`, file);
      if (mayBeWeight(file, tensor)) return graph.input(tensor.name, tensor.dims, dtype);
      return graph.constant(decodeTensor(tensor, `tensor "${tensor.name}"`, file));
    },
  });
  return part.initializer.filter((tensor) => mayBeWeight(file, tensor) && !fixed.has(tensor.name));
}

/** Scalars are numbers of the exported code, as a rule. */
const mayBeWeight = (file: string, { name, dims, dataType }: TensorMessage): boolean =>
  dims.length > 0 && /float/.test(dtypeOf(dataType, `tensor "${name}"`, file));

/** Bytes of a constant that is read from another file: more than any shape or table of positions has. */
const MAX_CONSTANT_BYTES = 1 << 26;

/** Constants that lie in other files are read into the graph, as it is to stand alone. */
async function withConstants(
  file: string,
  tensors: readonly TensorMessage[],
  places: ReadonlyMap<string, ExternalPlace>,
): Promise<TensorMessage[]> {
  const read: TensorMessage[] = [];
  for (const tensor of tensors) {
    const place = places.get(tensor.name);
    if (!place || mayBeWeight(file, tensor) || place.bytes > MAX_CONSTANT_BYTES) read.push(tensor);
    else {
      const rawData = await readExternal(place);
      read.push({ ...tensor, rawData, externalData: [], dataLocation: 0 });
    }
  }
  return read;
}

/** The weights that the patterns match, each at least one; a * stands for any characters. */
function frozenNames(
  file: string,
  names: readonly string[],
  patterns: readonly string[],
): string[] {
  const frozen = new Set<string>();
  for (const pattern of patterns) {
    const parts = pattern.split('*').map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'));
    const expression = new RegExp(`^${parts.join('.*')}$`);
    const found = names.filter((name) => expression.test(name));
    if (found.length === 0) {
      const some = names.slice(0, LISTED).join(', ');
      throw invalidOnnx(
        file,
        `no weight is named ${pattern}, which is to be frozen; there are ${some}`,
        {
          hint: 'Correct "frozen" in its declaration. `flowstep inspect` lists the weights.',
        },
      );
    }
    for (const name of found) frozen.add(name);
  }
  return names.filter((name) => frozen.has(name));
}

/** What is wrong with a graph is wrong with the model, whoever notices. */
async function asModelErrors<T>(action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    if (!(error instanceof FlowstepError) || error.kind !== 'user') throw error;
    if (error.code === 'MODEL_INVALID') throw error;
    throw new FlowstepError('MODEL_INVALID', error.message, { ...error.details, cause: error });
  }
}
