/**
 * @file DiT (Peebles & Xie 2023, "Scalable Diffusion Models with Transformers"): patches, adaLN-zero
 * blocks, learned positions. Tokens are kept as a matrix [B * N, W], so each linear layer is one product.
 */
import type { Value } from '../graph/graph.ts';
import { add, gather, gelu, mul, reshape, silu, transpose } from '../graph/ops.ts';
import type { DitConfig } from './config.ts';
import {
  affine,
  attention,
  fanIn,
  linear,
  modulate,
  modulations,
  queriesKeysValues,
  ZEROS,
} from './layers.ts';
import type { Scope } from './parameters.ts';
import { sinusoidalEmbedding } from './time-embedding.ts';

/** Spread of the learned positions and class embeddings at the start, as in DiT. */
const EMBEDDING_STD = 0.02;

/** v(x, t, label): x [B, C, S, S], t [B], labels int64 [B] (`classes` = no class) -> [B, C, S, S]. */
export function dit(scope: Scope, config: DitConfig, x: Value, t: Value, labels?: Value): Value {
  const { size, channels, patch, width, depth, heads } = config;
  const batch = x.shape[0]!;
  const grid = size / patch;
  const tokens = grid * grid;
  const rows = batch * tokens;
  const area = channels * patch * patch;

  const condition = silu(conditioning(scope, config, t, labels)); // [B, W]
  const modulation = (name: string, parts: number) => modulations(scope, name, condition, parts);
  const byPicture = (h: Value) => reshape(h, [batch, tokens, width]);
  const byToken = (h: Value) => reshape(h, [rows, width]);
  const block = (name: string, given: Value): Value => {
    const [shift1, scale1, gate1, shift2, scale2, gate2] = modulation(`${name}.ada`, 6) as Six;
    const [q, k, v] = queriesKeysValues(
      scope,
      `${name}.qkv`,
      byToken(modulate(given, shift1, scale1)),
    );
    const mixed = linear(scope, `${name}.proj`, attention(q, k, v, batch, heads), width);
    const h = add(given, mul(gate1, byPicture(mixed)));
    const hidden = linear(scope, `${name}.fc1`, byToken(modulate(h, shift2, scale2)), 4 * width);
    const fed = linear(scope, `${name}.fc2`, gelu(hidden, 'tanh'), width);
    return add(h, mul(gate2, byPicture(fed)));
  };

  // A convolution with stride = kernel = patch is a product with the flattened patches (c, py, px).
  const patches = transpose(
    reshape(x, [batch, channels, grid, patch, grid, patch]),
    [0, 2, 4, 1, 3, 5],
  );
  const kernel = scope.parameter('embed.weight', [width, channels, patch, patch], fanIn(area));
  const kernelBias = scope.parameter('embed.bias', [width], fanIn(area));
  const positions = scope.parameter('pos', [1, tokens, width], {
    kind: 'normal',
    std: EMBEDDING_STD,
  });
  const flat = reshape(kernel, [width, area]);
  const embedded = affine(reshape(patches, [rows, area]), flat, kernelBias);
  let h = add(byPicture(embedded), positions); // [B, N, W]

  const middle = Math.floor((depth - 1) / 2);
  for (let i = 0; i < depth; i++) {
    const before = h;
    h = scope.graph.block(() => block(`blocks.${i}`, before));
    const seen = h;
    if (i === middle) scope.features?.(() => seen);
  }

  const [shift, scale] = modulation('ada', 2) as [Value, Value];
  const out = linear(scope, 'head', byToken(modulate(h, shift, scale)), area, ZEROS);
  // Head outputs are (py, px, c) in each patch.
  const folded = transpose(
    reshape(out, [batch, grid, grid, patch, patch, channels]),
    [0, 5, 1, 3, 2, 4],
  );
  return reshape(folded, [batch, channels, size, size]);
}

type Six = [Value, Value, Value, Value, Value, Value];

function conditioning(scope: Scope, config: DitConfig, t: Value, labels?: Value): Value {
  const { width, classes } = config;
  const time = linear(
    scope,
    't2',
    silu(linear(scope, 't1', sinusoidalEmbedding(t, width), width)),
    width,
  );
  if (classes === 0 || !labels) return time;
  const table = scope.parameter('labels.weight', [classes + 1, width], {
    kind: 'normal',
    std: EMBEDDING_STD,
  });
  return add(time, gather(table, labels));
}
