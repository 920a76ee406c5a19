/**
 * @file Graphs for any batch. Shapes here are fixed, so a graph that is to be exported is built for a batch that no other size
 * is a multiple of: whatever is one in a shape comes from the batch, and is written as such.
 */
import { bug } from '../../errors.ts';
import type { Shape } from '../tensor.ts';
import type { OperatorNode, Value } from './graph.ts';

/** A prime above all sizes of networks; their activations at this batch still have fewer than 2^53 elements. */
export const SYMBOLIC_BATCH = 1_000_003;

/** What stands for the batch in the shapes of inputs and outputs. */
export const BATCH_NAME = 'batch';

/** How many times the batch a size is; undefined when it does not come from it. */
export function timesBatch(size: number): number | undefined {
  return size > 0 && Number.isFinite(size) && size % SYMBOLIC_BATCH === 0
    ? size / SYMBOLIC_BATCH
    : undefined;
}

export const dependsOnBatch = (shape: Shape): boolean =>
  shape.some((size) => timesBatch(size) !== undefined);

/** The target of a Reshape for any batch: -1 where the batch is. */
export function batchlessShape({ outputs: [output] }: OperatorNode): number[] {
  const { shape } = output as Value;
  const target = shape.map((d) => (timesBatch(d) === undefined ? d : -1));
  if (target.filter((d) => d === -1).length > 1) {
    throw bug(`a shape holds the batch twice: [${shape.join(', ')}]`);
  }
  return target;
}

/** The end of a range of an axis, as far as it goes: where the batch is, only all of it can be taken. */
export const WHOLE_AXIS = 2 ** 53 - 1;
