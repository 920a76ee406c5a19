/** @file Models as `.onnx` files that run anywhere: weights inside, any batch, and what the model is in the metadata. */
import { rm } from 'node:fs/promises';
import { basename } from 'node:path';
import { FlowstepError } from '../../errors.ts';
import { atomicWrite, isTaken, type WriteOptions } from '../files/atomic-write.ts';
import { DECLARATION_KEY, type OnnxDeclaration } from '../files/onnx-declaration.ts';
import type { Graph, Value } from '../graph/graph.ts';
import { exportOnnx, neededNodes } from '../graph/onnx-encode.ts';
import { timesBatch } from '../graph/symbolic-batch.ts';
import { classCount, sampleShape, textWidths } from '../nn/config.ts';
import { latestTime, parameterList } from '../nn/network.ts';
import { type ParameterList, views } from '../nn/parameters.ts';
import type { DType } from '../tensor.ts';
import { samplerGraph, velocityGraph, WEIGHTS } from './export-graphs.ts';
import { merged } from './lora-model.ts';
import type { FlowModel, ModelInfo } from './model.ts';
import { HASH_KEY, modelMetadata } from './model-metadata.ts';

export const EXPORTED_GRAPHS = ['sampler', 'velocity'] as const;
export type ExportedGraph = (typeof EXPORTED_GRAPHS)[number];

export interface OnnxExportOptions extends WriteOptions {
  /** Default: the sampler of a student, the velocity of other models. */
  readonly graph?: ExportedGraph;
  readonly dtype?: 'float32' | 'float16';
  /** Length of texts, for networks that take any. */
  readonly tokens?: number;
  /** Weights of more bytes lie in a file beside the model. */
  readonly inlineBytes?: number;
}

/** An input or output without its batch. */
export interface ExportedPort {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
}

export interface ExportedOnnx {
  readonly graph: ExportedGraph;
  /** The model, and the file of its weights if it has one. */
  readonly files: readonly string[];
  readonly bytes: number;
  readonly inputs: readonly ExportedPort[];
  readonly outputs: readonly ExportedPort[];
}

/** Tokens that ComfyUI's encoders give Stable Diffusion 3 for a text: 77 of CLIP and 77 of T5. */
export const DEFAULT_TOKENS = 154;

/** A protocol buffer holds less than 2 GiB; what is not weights takes a part of them. */
const MAX_INLINE_BYTES = 2 ** 31 - 2 ** 27;

/**
 * Writes a model as ONNX, adapters merged, atomically. Throws VALUE_OUT_OF_RANGE for the sampler of a model that is no
 * student or for texts of a length that the network does not take, and FILE_UNWRITABLE.
 */
export async function writeOnnx(
  path: string,
  model: FlowModel,
  options: OnnxExportOptions = {},
): Promise<ExportedOnnx> {
  const kind = options.graph ?? (model.info.student ? 'sampler' : 'velocity');
  const { info, parameters } = await merged(model);
  const graph = buildGraph(info, kind, tokensOf(info, options));
  const list = parameterList(info.network);
  const weights = new Map(
    [...views(list, parameters)].map(([name, tensor]) => [`${WEIGHTS}/${name}`, { name, tensor }]),
  );
  const dtype = options.dtype ?? 'float32';
  const isLarge =
    list.size * (dtype === 'float32' ? 4 : 2) > (options.inlineBytes ?? MAX_INLINE_BYTES);
  const beside = `${basename(path)}.data`;
  const { model: bytes, external } = exportOnnx(graph, {
    metadata: metadataOf(info, kind, frozenIn(graph, list)),
    weights,
    dtype,
    ...(isLarge && { external: beside }),
  });
  // The weights first: a model whose weights are missing is worse than weights without a model.
  if (isLarge) await atomicWrite(`${path}.data`, external, options);
  try {
    await atomicWrite(path, [bytes], options);
  } catch (error) {
    if (isLarge && isTaken(error)) await rm(`${path}.data`, { force: true });
    throw error;
  }
  const ports = (values: ReadonlyMap<string, Value>) =>
    [...values]
      .filter(([name]) => !weights.has(name))
      .map(([name, { dtype: type, shape }]) => ({
        name,
        dtype: type,
        shape: shape.filter((size) => timesBatch(size) === undefined),
      }));
  return {
    graph: kind,
    files: isLarge ? [path, `${path}.data`] : [path],
    bytes: external.reduce((sum, part) => sum + part.length, bytes.length),
    inputs: ports(graph.inputs),
    outputs: ports(graph.outputs),
  };
}

function buildGraph(
  { role, network, student }: ModelInfo,
  kind: ExportedGraph,
  tokens: number,
): Graph {
  if (kind === 'velocity') return velocityGraph(network, tokens);
  if (student) return samplerGraph(network, student, tokens);
  throw new FlowstepError('VALUE_OUT_OF_RANGE', `a ${role} has no sampler of its own`, {
    field: 'graph',
    hint: 'Export its velocity, or distil it first.',
  });
}

function tokensOf({ network }: ModelInfo, { tokens }: OnnxExportOptions): number {
  const text = textWidths(network);
  if (!text) return 0;
  const wanted = tokens ?? (text.tokens || DEFAULT_TOKENS);
  if (text.tokens === 0 || text.tokens === wanted) return wanted;
  throw new FlowstepError(
    'VALUE_OUT_OF_RANGE',
    `the network takes texts of ${text.tokens} tokens, not ${wanted}`,
    { field: 'tokens', hint: 'Leave the number of tokens out.' },
  );
}

function metadataOf(
  info: ModelInfo,
  graph: ExportedGraph,
  frozen: readonly string[],
): Record<string, string> {
  const { [HASH_KEY]: _none, ...metadata } = modelMetadata(info, '');
  const text = textWidths(info.network);
  const classes = classCount(info.network);
  const isSampler = graph === 'sampler';
  const declaration: Partial<OnnxDeclaration> = {
    graph,
    inputs: {
      x: isSampler ? 'noise' : 'x',
      time: 't',
      ...(classes > 0 && { labels: 'labels' }),
      ...(text && { context: 'context' }),
      ...(text && text.pooledWidth > 0 && { pooled: 'pooled' }),
    },
    predicts: 'velocity',
    time: 'flow',
    latest: latestTime(info.network),
    shape: sampleShape(info.network),
    ...(classes > 0 && { classes }),
    frozen: [...frozen],
  };
  return {
    ...metadata,
    'modelspec.usage_hint': usage(info, graph),
    [DECLARATION_KEY]: JSON.stringify(declaration),
  };
}

/** The weights that are never trained and that the graph reads. */
function frozenIn(graph: Graph, { specs }: ParameterList): string[] {
  const needed = neededNodes(graph);
  const isRead = (name: string) => needed.has(graph.inputs.get(`${WEIGHTS}/${name}`)!.node);
  return specs.flatMap(({ name, init }) => (init.kind === 'fixed' && isRead(name) ? [name] : []));
}

function usage({ network }: ModelInfo, graph: ExportedGraph): string {
  const classes = classCount(network);
  const labels = classes > 0 ? ` Labels are 0 to ${classes - 1}; ${classes} is no class.` : '';
  return graph === 'sampler'
    ? `Feed standard normal noise.${labels}`
    : `The velocity at x and time t, 0 for data and 1 for noise.${labels}`;
}
