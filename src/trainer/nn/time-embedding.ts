/** @file Embeddings of the time t in [0, 1], t [B]. */
import type { Value } from '../graph/graph.ts';
import { concat, cos, mul, reshape, sin } from '../graph/ops.ts';
import { tableOf } from './constants.ts';

/** cos and sin of 1000 t / 10000^(i/half): [B, width], cosines first (Vaswani et al. 2017; DiT's form). */
export function sinusoidalEmbedding(t: Value, width: number): Value {
  const half = width / 2;
  const frequencies = Array.from(
    { length: half },
    (_, i) => 1000 * Math.exp((-Math.log(10_000) * i) / half),
  );
  return waves(t, frequencies);
}

/** cos and sin of t at eight frequencies 1 + k pi / 2: [B, 16]; enough for points in the plane. */
export function smallEmbedding(t: Value): Value {
  return waves(
    t,
    Array.from({ length: 8 }, (_, k) => 1 + (k * Math.PI) / 2),
  );
}

function waves(t: Value, frequencies: readonly number[]): Value {
  const table = tableOf(t.graph, t.dtype, [1, frequencies.length], frequencies);
  const angles = mul(reshape(t, [t.shape[0]!, 1]), table);
  return concat([cos(angles), sin(angles)], 1);
}
