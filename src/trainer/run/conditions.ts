/** @file What a network is conditioned on - a class or a text - from choices to the inputs of a program. */
import { FlowstepError } from '../../errors.ts';
import type { PromptSet } from '../data/prompts.ts';
import { filled, type Graph, type Value } from '../graph/graph.ts';
import { expand } from '../graph/ops.ts';
import { classCount, type NetworkConfig, type TextWidths, textWidths } from '../nn/config.ts';
import type { Condition } from '../nn/network.ts';
import { fillIndices } from '../random/philox.ts';
import { STREAMS } from '../random/streams.ts';
import { DeviceTensors } from '../runtime/device-tensors.ts';
import type { Program } from '../runtime/program.ts';
import { type DType, type Shape, sizeOf, type Tensor } from '../tensor.ts';

/** Texts [B, L, W] and [B, P]; a first axis of 1 stands for all samples. */
export interface TextRows {
  readonly context: Tensor<'float32'>;
  readonly pooled: Tensor<'float32'>;
}

/** The conditions of a batch: a class for each sample (-1 = none), or its text. */
export interface ConditionRows {
  readonly labels?: Int32Array | undefined;
  readonly text?: TextRows | undefined;
}

/** Stands for "no condition" among choices. */
export const NO_CONDITION = -1;

export interface FeedSpec {
  /** Shape of one sample's part: the fed tensor is [batch, ...shape]. */
  readonly shape: Shape;
  readonly dtype?: DType;
}

/** What a network's condition is fed as, by name: nothing, labels, or context and pooled of texts of `tokens` tokens. */
export function conditionFeeds(
  network: NetworkConfig,
  tokens: number,
  prefix = '',
): Record<string, FeedSpec> {
  const text = textWidths(network);
  if (text) {
    return {
      [`${prefix}context`]: { shape: [tokens, text.contextWidth] },
      ...(text.pooledWidth > 0 && { [`${prefix}pooled`]: { shape: [text.pooledWidth] } }),
    };
  }
  return classCount(network) > 0 ? { [`${prefix}labels`]: { shape: [], dtype: 'int64' } } : {};
}

/** The condition among a graph's values named as `conditionFeeds` does; those with a first axis of 1 stand for all of `batch` samples. */
export function conditionIn(
  values: Readonly<Record<string, Value>>,
  batch: number,
  prefix = '',
): Condition {
  const value = (name: string) => {
    const found = values[prefix + name];
    return found && found.shape[0] !== batch ? expand(found, found.shape.with(0, batch)) : found;
  };
  return { labels: value('labels'), context: value('context'), pooled: value('pooled') };
}

/** Writes rows [from, from + count) into memory named as `conditionFeeds` does, which holds `count` samples. */
export function writeCondition(
  network: NetworkConfig,
  { labels, text }: ConditionRows,
  memory: (name: string) => Tensor['data'],
  from: number,
  count: number,
): void {
  const classes = classCount(network);
  if (classes > 0) {
    const out = memory('labels') as BigInt64Array;
    for (let k = 0; k < count; k++) {
      const label = labels?.[from + k] ?? NO_CONDITION;
      out[k] = BigInt(label < 0 ? classes : label);
    }
  }
  const widths = textWidths(network);
  if (!text || !widths) return;
  copyRows(text.context, memory('context') as Float32Array, from, count);
  if (widths.pooledWidth === 0) return;
  copyRows(text.pooled, memory('pooled') as Float32Array, from, count);
}

/** Rows past the end are left as they are: nobody reads what is made of them. */
function copyRows(
  { shape, data }: Tensor<'float32'>,
  out: Float32Array,
  from: number,
  count: number,
): void {
  const size = sizeOf(shape.slice(1));
  if (shape[0] === 1) {
    for (let k = 0; k < count; k++) out.set(data, k * size);
  } else {
    out.set(data.subarray(from * size, (from + count) * size));
  }
}

/** The condition of a network as inputs of a program for `batch` samples, and their memory. */
export class ConditionInputs {
  readonly #network: NetworkConfig;
  readonly #prefix: string;
  readonly #batch: number;
  readonly #memory = new Map<string, Tensor>();
  readonly #placed: DeviceTensors;

  /** `tokens` is the length of texts; inputs are named as `conditionFeeds` does. */
  constructor(network: NetworkConfig, tokens: number, batch: number, prefix = '') {
    this.#network = network;
    this.#prefix = prefix;
    this.#batch = batch;
    const feeds = conditionFeeds(network, tokens, prefix);
    for (const [name, spec] of Object.entries(feeds)) this.#memory.set(name, zeros(spec, batch));
    this.#placed = new DeviceTensors([...this.#memory.values()]);
  }

  declare(graph: Graph): Condition {
    const inputs = [...this.#memory].map(([name, { dtype, shape }]) => [
      name,
      graph.input(name, shape, dtype),
    ]);
    return conditionIn(Object.fromEntries(inputs), this.#batch, this.#prefix);
  }

  bind(program: Program): void {
    for (const [i, name] of [...this.#memory.keys()].entries()) {
      program.bindInput(name, this.#placed.tensors[i]!);
    }
  }

  dispose(): void {
    this.#placed[Symbol.dispose]();
  }

  /** Loads the conditions of the samples from `from` on. */
  load(rows: ConditionRows, from: number): void {
    const memory = (name: string) => this.#memory.get(this.#prefix + name)!.data;
    writeCondition(this.#network, rows, memory, from, this.#batch);
  }

  /** Brings what was loaded to the device. */
  upload(): Promise<void> {
    return this.#placed.upload();
  }
}

/** Memory of a fed tensor [batch, ...shape]. */
export function zeros({ dtype = 'float32', shape }: FeedSpec, batch: number): Tensor {
  const whole = [batch, ...shape];
  return { dtype, shape: whole, data: filled(dtype, sizeOf(whole), 0) };
}

/** Conditions to draw from in training, by number. */
export interface ConditionSource {
  /** How many there are; 0 = the network takes none. */
  readonly count: number;
  /** Length of the texts; 0 for other conditions. */
  readonly tokens: number;
  /** What stands for none, one row. */
  readonly empty: ConditionRows;
  /** The chosen ones; NO_CONDITION gives what stands for none. */
  rows(choices: Int32Array): Promise<ConditionRows>;
}

/** The classes of a network, or prompts for one that takes text. Throws WORKFLOW_INVALID without prompts, SHAPE_MISMATCH when they do not fit. */
export function conditionSource(
  network: NetworkConfig,
  prompts: PromptSet | undefined,
): ConditionSource {
  const text = textWidths(network);
  if (!text) {
    if (prompts) {
      throw new FlowstepError('WORKFLOW_INVALID', `a ${network.kind} takes no prompts`, {
        field: 'prompts',
        hint: 'Leave the prompts out, or use a network that takes text.',
      });
    }
    return {
      count: classCount(network),
      tokens: 0,
      empty: { labels: Int32Array.of(NO_CONDITION) },
      rows: async (labels) => ({ labels }),
    };
  }
  if (!prompts) {
    throw new FlowstepError(
      'WORKFLOW_INVALID',
      'the network takes text, and there are no prompts',
      {
        field: 'prompts',
        hint: 'Connect Flow Prompt Set.',
      },
    );
  }
  requireWidths(prompts.name, prompts.contextWidth, prompts.pooledWidth, text);
  return {
    count: prompts.count,
    tokens: prompts.tokens,
    empty: { text: prompts.empty },
    rows: async (choices) => ({ text: await prompts.rows(choices) }),
  };
}

/** Throws SHAPE_MISMATCH when texts are of other widths than the network's. */
export function requireWidths(
  what: string,
  contextWidth: number,
  pooledWidth: number,
  network: Pick<TextWidths, 'contextWidth' | 'pooledWidth'>,
): void {
  const fitsPooled = network.pooledWidth === 0 || pooledWidth === network.pooledWidth;
  if (contextWidth === network.contextWidth && fitsPooled) return;
  throw new FlowstepError(
    'SHAPE_MISMATCH',
    `${what}: tokens are ${contextWidth} wide and pooled vectors ${pooledWidth}, the network needs ${network.contextWidth} and ${network.pooledWidth}`,
    { field: 'conditioning', hint: 'Use the text encoders that belong to the model.' },
  );
}

/** Choices drawn evenly from `count` conditions, a function of (seed, draw). */
export function randomChoices(
  batch: number,
  count: number,
  seed: number,
  draw: number,
): Int32Array {
  const drawn = new Int32Array(batch);
  fillIndices(drawn, count, seed, STREAMS.labels, draw);
  return drawn;
}
