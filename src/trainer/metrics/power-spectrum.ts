/** @file How much of pictures lies at each fineness of detail: blur loses the high frequencies, checkered grids add to them. */
import { FlowstepError } from '../../errors.ts';

/** Power at 1, 2, ... side/2 cycles a picture, means over directions, pictures and channels; squares alone. */
export type Spectrum = Float64Array;

/**
 * Radially averaged power spectrum of pictures [count, channels, side, side] without windows: entry k - 1 is the mean of
 * |DFT|^2 / side^2 over all frequencies whose distance from 0 rounds to k. Throws SHAPE_MISMATCH for what is no squares.
 */
export function powerSpectrum(data: Float32Array, shape: readonly number[]): Spectrum {
  const [count = 0, channels = 0, side = 0, width = 0] = shape;
  if (shape.length !== 4 || side !== width || side < 4 || count * channels === 0) {
    throw new FlowstepError(
      'SHAPE_MISMATCH',
      `a power spectrum needs squares [count, channels, side, side], not [${shape.join(', ')}]`,
    );
  }
  const power = new Float64Array(side * side);
  const table = waves(side);
  const area = side * side;
  for (let picture = 0; picture < count * channels; picture++) {
    addPower(power, data.subarray(picture * area, (picture + 1) * area), side, table);
  }
  return radialMeans(power, side, count * channels * area);
}

/**
 * Mean of |ln(a / b)| over the frequencies above half of the highest: 0 for pictures that are as finely detailed as each
 * other. Throws SHAPE_MISMATCH for spectra of pictures of different sizes.
 */
export function fineDetailGap(a: Spectrum, b: Spectrum): number {
  if (a.length !== b.length) {
    throw new FlowstepError(
      'SHAPE_MISMATCH',
      `spectra of ${a.length} and ${b.length} frequencies cannot be compared`,
    );
  }
  const first = Math.floor(a.length / 2);
  let sum = 0;
  for (let k = first; k < a.length; k++) sum += Math.abs(Math.log(a[k]! / b[k]!));
  return sum / (a.length - first);
}

interface Waves {
  readonly cosine: Float64Array;
  readonly sine: Float64Array;
}

/** cos and sin of 2 pi k x / side at [k * side + x]. */
function waves(side: number): Waves {
  const angle = (i: number) => (2 * Math.PI * (Math.floor(i / side) * (i % side))) / side;
  const table = (f: (a: number) => number) =>
    Float64Array.from({ length: side * side }, (_, i) => f(angle(i)));
  return { cosine: table(Math.cos), sine: table(Math.sin) };
}

/** Adds |DFT|^2 of one picture: rows first, then columns. */
function addPower(
  power: Float64Array,
  picture: Float32Array,
  side: number,
  { cosine, sine }: Waves,
): void {
  const re = new Float64Array(side * side);
  const im = new Float64Array(side * side);
  for (let y = 0; y < side; y++) {
    for (let k = 0; k < side; k++) {
      let [r, i] = [0, 0];
      for (let x = 0; x < side; x++) {
        const value = picture[y * side + x]!;
        r += value * cosine[k * side + x]!;
        i -= value * sine[k * side + x]!;
      }
      re[y * side + k] = r;
      im[y * side + k] = i;
    }
  }
  for (let k = 0; k < side; k++) {
    for (let l = 0; l < side; l++) {
      let [r, i] = [0, 0];
      for (let y = 0; y < side; y++) {
        const [c, s] = [cosine[l * side + y]!, sine[l * side + y]!];
        const [a, b] = [re[y * side + k]!, im[y * side + k]!];
        r += a * c + b * s;
        i += b * c - a * s;
      }
      power[l * side + k]! += r * r + i * i;
    }
  }
}

function radialMeans(power: Float64Array, side: number, scale: number): Spectrum {
  const highest = side >> 1;
  const sums = new Float64Array(highest);
  const counts = new Float64Array(highest);
  const signed = (k: number) => (k > highest ? k - side : k);
  for (let l = 0; l < side; l++) {
    for (let k = 0; k < side; k++) {
      const radius = Math.round(Math.hypot(signed(k), signed(l)));
      if (radius < 1 || radius > highest) continue;
      sums[radius - 1]! += power[l * side + k]!;
      counts[radius - 1]!++;
    }
  }
  return sums.map((sum, i) => sum / counts[i]! / scale);
}
