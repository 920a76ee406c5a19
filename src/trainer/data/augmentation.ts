/**
 * @file Changes of training pictures that the network is told of: EDM's pipeline (Karras et al. 2022, section 5) with
 * mirroring, scale, rotation, stretch and shift, each with its probability. Colours stay.
 *
 * A change is a table: each place of the new picture is a weighted sum of 16 places of the old one, by cubic interpolation
 * (Keys 1981). Beyond its border a picture goes on as its mirror image.
 */
import { setImmediate } from 'node:timers/promises';
import { fillNormal, fillUniform } from '../random/philox.ts';
import type { Seed } from '../random/seed.ts';
import { STREAMS } from '../random/streams.ts';

/** What is told of a change: mirrored x, y; log scale; cosine - 1 and sine of the rotation; stretch x, y; shift x, y. */
export const AUGMENT_LABELS = 9;

/** Old places that a new one is made of. */
export const TAPS = 16;

/** Standard deviations of scale and stretch as powers of two, and of the shift as a share of the side: EDM's. */
const SCALE = 0.2;
const STRETCH = 0.2;
const SHIFT = 0.125;

/** Share of stretches along a direction other than the sides. */
const SLANTED = 0.5;

/** Uniform and normal numbers that a change takes. */
const CHANCES = 10;
const AMOUNTS = 4;

/** The memory of a batch's changes: labels [B, 9], tables [B, S * S, 16] of places y S + x, and their weights. */
export interface Changes {
  readonly labels: Float32Array;
  readonly places: Float32Array;
  readonly weights: Float32Array;
}

/** x' = a x + b y + c, y' = d x + e y + f, from the middle of the picture. */
type Affine = readonly [number, number, number, number, number, number];

interface Change {
  readonly mirrorX: boolean;
  readonly mirrorY: boolean;
  /** From new places to old ones; undefined = they stay. */
  readonly from: Affine | undefined;
}

/** Places written between two turns of the event loop: some milliseconds. */
const SLICE = 8192;

/** Draws changes of pictures of `size` pixels a side with probability `share` each: a function of (seed, step, index). */
export async function drawChanges(
  out: Changes,
  size: number,
  share: number,
  seed: Seed,
  step: number,
): Promise<void> {
  const count = out.labels.length / AUGMENT_LABELS;
  const chances = new Float32Array(count * CHANCES);
  const amounts = new Float32Array(count * AMOUNTS);
  fillUniform(chances, seed, STREAMS.augment, step);
  fillNormal(amounts, seed, STREAMS.augmentAmount, step);
  const table = size * size * TAPS;
  const perTurn = Math.ceil(SLICE / (size * size));
  for (let i = 0; i < count; i++) {
    if (i > 0 && i % perTurn === 0) await setImmediate();
    const change = drawChange(
      chances.subarray(i * CHANCES, (i + 1) * CHANCES),
      amounts.subarray(i * AMOUNTS, (i + 1) * AMOUNTS),
      out.labels.subarray(i * AUGMENT_LABELS, (i + 1) * AUGMENT_LABELS),
      size,
      share,
    );
    const part = (values: Float32Array) => values.subarray(i * table, (i + 1) * table);
    writeTable(part(out.places), part(out.weights), change, size);
  }
}

function drawChange(
  chances: Float32Array,
  amounts: Float32Array,
  labels: Float32Array,
  size: number,
  share: number,
): Change {
  const happens = (chance: number, amount: number) => (chances[chance]! < share ? amount : 0);
  const angle = (chance: number) => (2 * chances[chance]! - 1) * Math.PI;
  const mirrorX = chances[0]! < 0.5;
  const mirrorY = happens(1, 1) === 1 && chances[2]! < 0.5;
  const scale = happens(3, amounts[0]!);
  const turn = happens(4, angle(5));
  const stretch = happens(6, amounts[1]!);
  const direction = chances[7]! < SLANTED ? angle(8) : 0;
  const [shiftX, shiftY] = [happens(9, amounts[2]!), happens(9, amounts[3]!)];
  labels.set([Number(mirrorX), Number(mirrorY), scale, Math.cos(turn) - 1, Math.sin(turn)]);
  labels.set([stretch * Math.cos(direction), stretch * Math.sin(direction), shiftX, shiftY], 5);
  if (scale === 0 && turn === 0 && stretch === 0 && shiftX === 0 && shiftY === 0) {
    return { mirrorX, mirrorY, from: undefined };
  }
  const larger = 2 ** (SCALE * scale);
  const longer = 2 ** (STRETCH * stretch);
  const from = [
    scaling(1 / larger, 1 / larger),
    rotation(turn),
    rotation(-direction),
    scaling(1 / longer, longer),
    rotation(direction),
    [1, 0, -shiftX * SHIFT * size, 0, 1, -shiftY * SHIFT * size] as const,
  ].reduce(composed);
  return { mirrorX, mirrorY, from };
}

const scaling = (x: number, y: number): Affine => [x, 0, 0, 0, y, 0];

function rotation(angle: number): Affine {
  const [c, s] = [Math.cos(angle), Math.sin(angle)];
  return [c, -s, 0, s, c, 0];
}

/** First `q`, then `p`. */
function composed(p: Affine, q: Affine): Affine {
  const row = (a: number, b: number, c: number) =>
    [a * q[0] + b * q[3], a * q[1] + b * q[4], a * q[2] + b * q[5] + c] as const;
  return [...row(p[0], p[1], p[2]), ...row(p[3], p[4], p[5])];
}

function writeTable(
  places: Float32Array,
  weights: Float32Array,
  { mirrorX, mirrorY, from }: Change,
  size: number,
): void {
  const middle = (size - 1) / 2;
  const place = (x: number, y: number) => {
    const [inX, inY] = [reflected(x, size), reflected(y, size)];
    return (mirrorY ? size - 1 - inY : inY) * size + (mirrorX ? size - 1 - inX : inX);
  };
  if (!from) weights.fill(0);
  const [kernelX, kernelY] = [new Float64Array(4), new Float64Array(4)];
  for (let y = 0, at = 0; y < size; y++) {
    for (let x = 0; x < size; x++, at += TAPS) {
      if (!from) {
        // The other places count nothing, whatever they are.
        places[at] = place(x, y);
        weights[at] = 1;
        continue;
      }
      const [u, v] = [x - middle, y - middle];
      const oldX = from[0] * u + from[1] * v + from[2] + middle;
      const oldY = from[3] * u + from[4] * v + from[5] + middle;
      const [leftX, topY] = [Math.floor(oldX), Math.floor(oldY)];
      cubicWeights(oldX - leftX, kernelX);
      cubicWeights(oldY - topY, kernelY);
      for (let k = 0; k < TAPS; k++) {
        const [i, j] = [k & 3, k >> 2];
        places[at + k] = place(leftX - 1 + i, topY - 1 + j);
        weights[at + k] = kernelX[i]! * kernelY[j]!;
      }
    }
  }
}

/** Of the four neighbours of a point that lies `part` behind the second. */
function cubicWeights(part: number, out: Float64Array): void {
  const [p, q, r] = [part, part ** 2, part ** 3];
  out[0] = (-p + 2 * q - r) / 2;
  out[1] = (2 - 5 * q + 3 * r) / 2;
  out[2] = (p + 4 * q - 3 * r) / 2;
  out[3] = (r - q) / 2;
}

/** The place inside that `x` is the mirror image of; the border itself is not repeated. */
function reflected(x: number, size: number): number {
  if (size === 1) return 0;
  const period = 2 * (size - 1);
  const inside = ((x % period) + period) % period;
  return Math.min(inside, period - inside);
}
