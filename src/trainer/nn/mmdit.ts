/**
 * @file MM-DiT (Esser et al. 2024, "Scaling Rectified Flow Transformers for High-Resolution Image Synthesis"), the network of
 * Stable Diffusion 3 and 3.5: text and picture are two streams of tokens that attend to each other. Names are as released.
 * Tokens are kept as matrices [B * N, W], so each linear layer is one product.
 */
import { rmsNormalization } from '../graph/composed.ts';
import type { Value } from '../graph/graph.ts';
import { add, concat, gelu, mul, reshape, silu, slice, split, transpose } from '../graph/ops.ts';
import { MMDIT_HEAD_WIDTH, type MmditConfig } from './config.ts';
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
import type { Init, Scope } from './parameters.ts';
import { positionTable } from './position-table.ts';
import { sinusoidalEmbedding } from './time-embedding.ts';

/** Width of the sinusoidal embedding of time. */
const TIME_WIDTH = 256;

/** Added to the mean square of queries and keys before the root. */
const RMS_EPSILON = 1e-6;

/** Text as Stable Diffusion 3 takes it: one vector a token [B, L, W] and one for all [B, P]. */
export interface TextCondition {
  readonly context: Value;
  readonly pooled: Value;
}

/** A stream of tokens [B, N, W]. */
type Stream = Value;

/** Queries, keys and values, each [B * N, W]. */
type Projections = readonly [Value, Value, Value];

/**
 * v(x, t, text): x [B, C, H, W] of any size that the position table covers, t [B] -> like x. Sizes that are no multiple of
 * the patch are padded by wrap-around, as ComfyUI does.
 */
export function mmdit(
  scope: Scope,
  config: MmditConfig,
  x: Value,
  t: Value,
  { context, pooled }: TextCondition,
): Value {
  const { depth, patch, channels } = config;
  const width = MMDIT_HEAD_WIDTH * depth;
  const [batch, , height, columns] = x.shape as [number, number, number, number];
  const padded = wrapPad(wrapPad(x, 2, patch), 3, patch);
  const rows = padded.shape[2]! / patch;
  const cols = padded.shape[3]! / patch;

  const positions = cropPositions(scope, config, rows, cols);
  let image: Stream = add(embedPatches(scope, padded, patch, width), positions);
  const time = embedding(scope, 't_embedder', sinusoidalEmbedding(t, TIME_WIDTH), width);
  const condition = silu(add(time, embedding(scope, 'y_embedder', pooled, width))); // [B, W]
  let text: Stream | undefined = byStream(
    linear(scope, 'context_embedder', byToken(context), width),
    batch,
  );

  const middle = Math.floor((depth - 1) / 2);
  for (let i = 0; i < depth && text; i++) {
    const [before, pictureBefore]: [Stream, Stream] = [text, image];
    [text, image] = scope.graph.block(() =>
      jointBlock(scope, config, i, condition, before, pictureBefore),
    );
    const seen = image;
    if (i === middle) scope.features?.(() => seen);
  }

  const [shift, scale] = modulations(scope, 'final_layer.adaLN_modulation.1', condition, 2) as Two;
  const area = channels * patch * patch;
  const out = linear(
    scope,
    'final_layer.linear',
    byToken(modulate(image, shift, scale)),
    area,
    ZEROS,
  );
  // Head outputs are (py, px, c) in each patch.
  const folded = transpose(
    reshape(out, [batch, rows, cols, patch, patch, channels]),
    [0, 5, 1, 3, 2, 4],
  );
  const whole = reshape(folded, padded.shape.with(1, channels));
  return crop(crop(whole, 2, height), 3, columns);
}

type Two = [Value, Value];
type Six = [Value, Value, Value, Value, Value, Value];

const byToken = (h: Stream): Value => reshape(h, [h.shape[0]! * h.shape[1]!, h.shape[2]!]);
const byStream = (h: Value, batch: number): Stream =>
  reshape(h, [batch, h.shape[0]! / batch, h.shape[1]!]);

/** Both streams after block `i`; the last block gives no text, as nothing reads it. */
function jointBlock(
  scope: Scope,
  config: MmditConfig,
  i: number,
  condition: Value,
  text: Stream,
  image: Stream,
): [Stream | undefined, Stream] {
  const { depth } = config;
  const batch = text.shape[0]!;
  const isLast = i === depth - 1;
  const isDual = config.dualBlocks.includes(i);
  const ofText = `joint_blocks.${i}.context_block`;
  const ofImage = `joint_blocks.${i}.x_block`;
  const project = (name: string, h: Stream, [shift, scale]: readonly Value[]) =>
    projections(scope, config, name, byToken(modulate(h, shift!, scale!)));
  const ada = (name: string, parts: number) =>
    modulations(scope, `${name}.adaLN_modulation.1`, condition, parts);

  const textMods = ada(ofText, isLast ? 2 : 6);
  const textParts = project(`${ofText}.attn`, text, textMods);
  const imageMods = ada(ofImage, isDual ? 9 : 6);
  const imageParts = project(`${ofImage}.attn`, image, imageMods);

  const joined = (k: 1 | 2) => joinStreams(textParts[k], imageParts[k], batch);
  // The last block's text queries would give text that nothing reads.
  const queries = isLast ? imageParts[0] : joinStreams(textParts[0], imageParts[0], batch);
  const mixed = byStream(attention(queries, joined(1), joined(2), batch, depth), batch);
  const [textMixed, imageMixed] = isLast
    ? [undefined, mixed]
    : (split(mixed, 1, [text.shape[1]!, image.shape[1]!]) as Two);

  const attend = (name: string, h: Value) => byStream(linear(scope, name, h, h.shape[1]!), batch);
  const newText = textMixed
    ? feedForward(
        scope,
        `${ofText}.mlp`,
        add(text, mul(textMods[2]!, attend(`${ofText}.attn.proj`, byToken(textMixed)))),
        textMods,
      )
    : undefined;
  let gained = mul(imageMods[2]!, attend(`${ofImage}.attn.proj`, byToken(imageMixed)));
  if (isDual) {
    const [q, k, v] = project(`${ofImage}.attn2`, image, imageMods.slice(6));
    const second = attend(`${ofImage}.attn2.proj`, attention(q, k, v, batch, depth));
    gained = add(gained, mul(imageMods[8]!, second));
  }
  return [newText, feedForward(scope, `${ofImage}.mlp`, add(image, gained), imageMods)];
}

/** h + gate mlp(modulated h) with the fourth to sixth of a block's modulations. */
function feedForward(scope: Scope, name: string, h: Stream, mods: readonly Value[]): Stream {
  const [, , , shift, scale, gate] = mods as Six;
  const width = h.shape[2]!;
  const hidden = linear(scope, `${name}.fc1`, byToken(modulate(h, shift, scale)), 4 * width);
  const fed = linear(scope, `${name}.fc2`, gelu(hidden, 'tanh'), width);
  return add(h, mul(gate, byStream(fed, h.shape[0]!)));
}

function projections(scope: Scope, config: MmditConfig, name: string, h: Value): Projections {
  const [q, k, v] = queriesKeysValues(scope, `${name}.qkv`, h);
  if (!config.qkNorm) return [q, k, v];
  const normed = (part: string, x: Value) =>
    rmsNormalise(x, scope.parameter(`${name}.${part}.weight`, [MMDIT_HEAD_WIDTH], ONES));
  return [normed('ln_q', q), normed('ln_k', k), v];
}

const ONES: Init = { kind: 'ones' };

/** x / rms(x) times a gain, for each head of x [rows, W] (Zhang & Sennrich 2019). */
function rmsNormalise(x: Value, gain: Value): Value {
  const heads = reshape(x, [x.shape[0]!, -1, MMDIT_HEAD_WIDTH]);
  return reshape(rmsNormalization(heads, gain, RMS_EPSILON), x.shape);
}

/** Tokens of both streams, text first: [B * (N + M), W]. */
function joinStreams(text: Value, image: Value, batch: number): Value {
  return byToken(concat([byStream(text, batch), byStream(image, batch)], 1));
}

/** Two linear layers with SiLU between. */
function embedding(scope: Scope, name: string, x: Value, width: number): Value {
  return linear(scope, `${name}.mlp.2`, silu(linear(scope, `${name}.mlp.0`, x, width)), width);
}

/** A convolution with stride = kernel = patch, as a product with the flattened patches (c, py, px): [B, N, W]. */
function embedPatches(scope: Scope, x: Value, patch: number, width: number): Stream {
  const [batch, channels, height, columns] = x.shape as [number, number, number, number];
  const [rows, cols] = [height / patch, columns / patch];
  const area = channels * patch * patch;
  const weight = scope.parameter(
    'x_embedder.proj.weight',
    [width, channels, patch, patch],
    fanIn(area),
  );
  const bias = scope.parameter('x_embedder.proj.bias', [width], fanIn(area));
  const patches = transpose(
    reshape(x, [batch, channels, rows, patch, cols, patch]),
    [0, 2, 4, 1, 3, 5],
  );
  const flat = reshape(patches, [batch * rows * cols, area]);
  return byStream(affine(flat, reshape(weight, [width, area]), bias), batch);
}

/** The middle of the position table: [1, rows * cols, W]. */
function cropPositions(scope: Scope, config: MmditConfig, rows: number, cols: number): Value {
  const side = config.positions;
  const width = MMDIT_HEAD_WIDTH * config.depth;
  const table = scope.parameter('pos_embed', [1, side * side, width], {
    kind: 'fixed',
    values: () => positionTable(side, width),
  });
  const top = Math.floor((side - rows) / 2);
  const left = Math.floor((side - cols) / 2);
  const square = reshape(table, [side, side, width]);
  const middle = slice(slice(square, 0, top, top + rows), 1, left, left + cols);
  return reshape(middle, [1, rows * cols, width]);
}

/** The first elements again at the end of an axis, up to a multiple of `patch`. */
function wrapPad(x: Value, axis: number, patch: number): Value {
  const missing = (patch - (x.shape[axis]! % patch)) % patch;
  return missing === 0 ? x : concat([x, slice(x, axis, 0, missing)], axis);
}

function crop(x: Value, axis: number, size: number): Value {
  return x.shape[axis] === size ? x : slice(x, axis, 0, size);
}
