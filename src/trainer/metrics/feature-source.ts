/** @file Features of samples, read a few rows at a time, so that 50,000 of them need not be in memory. */
import { bug, FlowstepError } from '../../errors.ts';
import { bfloat16ToFloat32, float16ToFloat32 } from '../files/float16.ts';
import type { SafetensorsFile } from '../files/safetensors.ts';
import type { Tensor } from '../tensor.ts';
import { throwIfStopped } from './event-loop-turns.ts';

export interface FeatureSource {
  /** What errors call it: a file's path, say. */
  readonly name: string;
  /** Number of samples. */
  readonly count: number;
  /** Numbers a sample. */
  readonly dim: number;
  /** Rows [from, to) as float64 [to - from, dim]. Throws VALUE_OUT_OF_RANGE for values that are not finite. */
  rows(from: number, to: number): Promise<Float64Array>;
}

/** Rows read and worked on at a time: 16 MiB of 2048 features. */
export const BATCH_ROWS = 1024;

/** A tensor [N, D] of any float type in an open file. Throws FILE_FORMAT or SHAPE_MISMATCH. */
export function featuresOfFile(file: SafetensorsFile, tensor: string): FeatureSource {
  const entry = file.header.tensors.get(tensor);
  const hint = `It must hold a tensor "${tensor}" of shape [samples, numbers a sample], of type F32, F64, F16 or BF16.`;
  if (!entry) {
    throw new FlowstepError('FILE_FORMAT', `${file.path}: has no tensor "${tensor}"`, {
      file: file.path,
      hint,
    });
  }
  const [count = 0, dim = 0] = entry.shape;
  if (entry.shape.length !== 2 || count === 0 || dim === 0) {
    throw new FlowstepError(
      'SHAPE_MISMATCH',
      `${file.path}: "${tensor}" has the shape [${entry.shape.join(', ')}]`,
      { file: file.path, hint },
    );
  }
  if (!['F32', 'F64', 'F16', 'BF16'].includes(entry.dtype)) {
    throw new FlowstepError('FILE_FORMAT', `${file.path}: "${tensor}" is of type ${entry.dtype}`, {
      file: file.path,
      hint,
    });
  }
  const name = `"${tensor}" of ${file.path}`;
  return {
    name,
    count,
    dim,
    rows: async (from, to) =>
      finite(toFloat64(await file.readRows(tensor, from, to)), dim, from, name),
  };
}

/** Features that are in memory already, [count, dim]. Throws SHAPE_MISMATCH. */
export function featuresOfArray(
  name: string,
  data: Float32Array | Float64Array,
  dim: number,
): FeatureSource {
  if (data.length === 0 || data.length % dim !== 0) {
    throw new FlowstepError(
      'SHAPE_MISMATCH',
      `${name}: ${data.length} values are not rows of ${dim}`,
    );
  }
  return {
    name,
    count: data.length / dim,
    dim,
    rows: async (from, to) =>
      finite(new Float64Array(data.subarray(from * dim, to * dim)), dim, from, name),
  };
}

/** Gives `use` the rows in order, `BATCH_ROWS` at a time but for the last. Throws INTERRUPTED. */
export async function forEachBatch(
  source: FeatureSource,
  signal: AbortSignal | undefined,
  use: (rows: Float64Array, from: number) => Promise<void> | void,
): Promise<void> {
  for (let from = 0; from < source.count; from += BATCH_ROWS) {
    throwIfStopped(signal);
    await use(await source.rows(from, Math.min(from + BATCH_ROWS, source.count)), from);
  }
}

/** Throws SHAPE_MISMATCH when the samples are not described by equally many numbers. */
export function assertComparable(real: FeatureSource, fake: FeatureSource): void {
  if (real.dim === fake.dim) return;
  throw new FlowstepError(
    'SHAPE_MISMATCH',
    `${real.name} has ${real.dim} numbers a sample, ${fake.name} has ${fake.dim}`,
    { hint: 'Take the features of both with the same extractor.' },
  );
}

/** Throws VALUE_OUT_OF_RANGE when there are fewer than `least` samples. */
export function assertSamples(source: FeatureSource, least: number, what: string): void {
  if (source.count >= least) return;
  throw new FlowstepError(
    'VALUE_OUT_OF_RANGE',
    `${source.name}: ${source.count} samples are too few for ${what}, which needs ${least}`,
    { hint: `Give more samples, or leave out ${what}.` },
  );
}

function toFloat64({ dtype, data }: Tensor): Float64Array {
  if (data instanceof Float64Array) return data;
  if (data instanceof Float32Array) return new Float64Array(data);
  if (data instanceof Uint16Array) {
    return new Float64Array(
      dtype === 'bfloat16' ? bfloat16ToFloat32(data) : float16ToFloat32(data),
    );
  }
  throw bug(`features of type ${dtype}`);
}

function finite(rows: Float64Array, dim: number, from: number, name: string): Float64Array {
  for (let i = 0; i < rows.length; i++) {
    if (!Number.isFinite(rows[i]!)) {
      const at = `sample ${from + Math.floor(i / dim)}, number ${i % dim}`;
      throw new FlowstepError('VALUE_OUT_OF_RANGE', `${name} holds ${rows[i]} (${at})`, {
        hint: 'Look at what made the samples: a network that has diverged, or a division by zero.',
      });
    }
  }
  return rows;
}
