/** @file Softmax and attention in plain float64, for the reference interpreter. */
import type { Plain } from './interpreter.ts';

export function softmaxOf(lane: readonly number[]): number[] {
  const top = Math.max(...lane);
  const weights = lane.map((v) => Math.exp(v - top));
  const total = weights.reduce((a, b) => a + b, 0);
  return weights.map((w) => w / total);
}

/** Each row of q [B, N, H D] on all rows of k, v [B, M, H D] of its sample, head by head. */
export function attend(q: Plain, k: Plain, v: Plain, heads: number): Float64Array {
  const [batch, rows, width] = q.shape as [number, number, number];
  const others = k.shape[1]!;
  const depth = width / heads;
  const out = new Float64Array(q.data.length);
  for (let at = 0; at < batch * rows * heads; at++) {
    const to = at * depth;
    const head = at % heads;
    const first = Math.floor(at / (rows * heads)) * others;
    const place = (row: number) => ((first + row) * heads + head) * depth;
    const scores = Array.from({ length: others }, (_, row) => {
      let sum = 0;
      for (let d = 0; d < depth; d++) sum += q.data[to + d]! * k.data[place(row) + d]!;
      return sum / Math.sqrt(depth);
    });
    for (const [row, weight] of softmaxOf(scores).entries()) {
      for (let d = 0; d < depth; d++) out[to + d]! += weight * v.data[place(row) + d]!;
    }
  }
  return out;
}
