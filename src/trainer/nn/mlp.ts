/** @file Multilayer perceptron as a velocity field over vectors. */
import type { Value } from '../graph/graph.ts';
import { concat, reshape, silu, tanh } from '../graph/ops.ts';
import type { MlpConfig } from './config.ts';
import { linear } from './layers.ts';
import type { Scope } from './parameters.ts';
import { smallEmbedding } from './time-embedding.ts';

/** v(x, t): x [B, dim], t [B] -> [B, dim]. Layers `net.0` to `net.N`, the last one linear. */
export function mlp(scope: Scope, config: MlpConfig, x: Value, t: Value): Value {
  const time = config.time === 'append' ? reshape(t, [t.shape[0]!, 1]) : smallEmbedding(t);
  const activation = config.activation === 'silu' ? silu : tanh;
  const middle = Math.floor((config.layers - 1) / 2);
  let h = concat([x, time], 1);
  for (let i = 0; i < config.layers; i++) {
    h = activation(linear(scope, `net.${i}`, h, config.width));
    const seen = h;
    if (i === middle) scope.features?.(() => reshape(seen, [seen.shape[0]!, 1, config.width]));
  }
  return linear(scope, `net.${config.layers}`, h, config.dim);
}
