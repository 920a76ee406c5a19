/** @file The noise levels of a sampler of Stable Diffusion 3, as ComfyUI's schedulers lay them out: sigma is our time t. */
import { betaQuantile } from './beta-quantile.ts';

/** Entries of the table of noise levels that some schedulers pick from. */
const TABLE = 1000;

/** Shift of the released Stable Diffusion 3 models: more steps go to high noise than evenly. */
export const SD3_SHIFT = 3;

/** Both parameters of the scheduler `beta`, as ComfyUI sets them. */
const BETA = 0.6;

/** Exponent of the scheduler `karras` (Karras et al. 2022, eq. 5). */
const RHO = 7;

/** Where `linear_quadratic` changes from the line to the parabola. */
const LINEAR_END = 0.025;

export const SCHEDULERS = [
  'simple',
  'normal',
  'sgm_uniform',
  'beta',
  'linear_quadratic',
  'kl_optimal',
  'karras',
  'exponential',
  'ddim_uniform',
] as const;
export type Scheduler = (typeof SCHEDULERS)[number];

/** Noise level of a time t in [0, 1] under a shift (Esser et al. 2024, eq. 23). */
export function shiftedSigma(t: number, shift: number): number {
  return (shift * t) / (1 + (shift - 1) * t);
}

/** Noise level after `percent` (0 to 1) of sampling, as nodes with a start and an end percent mean it. */
export function percentToSigma(percent: number, shift: number): number {
  return shiftedSigma(1 - Math.min(Math.max(percent, 0), 1), shift);
}

/** Noise level `i` of the table of 1000, from the lowest. */
export function tableSigma(i: number, shift: number): number {
  return shiftedSigma((i + 1) / TABLE, shift);
}

type Layout = (steps: number, shift: number) => number[];

/** `count` numbers from `from` to `to`. */
function line(from: number, to: number, count: number): number[] {
  return Array.from({ length: count }, (_, k) =>
    count === 1 ? from : from + ((to - from) * k) / (count - 1),
  );
}

/**
 * Evenly spaced times, shifted. They end at the lowest noise level itself, which is shifted once more then:
 * ComfyUI takes sigma for a time there.
 */
const evenTimes = (count: number, shift: number): number[] =>
  line(1, tableSigma(0, shift), count).map((t) => shiftedSigma(t, shift));

/** Falling noise levels above 0 of each scheduler. */
const LAYOUTS: Readonly<Record<Scheduler, Layout>> = {
  simple: (steps, shift) =>
    // ComfyUI rounds TABLE / steps to a float first: the middle of 38 steps is entry 499 from the top, not 500.
    Array.from({ length: steps }, (_, k) =>
      tableSigma(TABLE - 1 - Math.floor(k * (TABLE / steps)), shift),
    ),
  normal: evenTimes,
  sgm_uniform: (steps, shift) => evenTimes(steps + 1, shift).slice(0, -1),
  beta: (steps, shift) => {
    const indices = Array.from({ length: steps }, (_, k) =>
      roundEven(betaQuantile(1 - k / steps, BETA, BETA) * (TABLE - 1)),
    );
    return [...new Set(indices)].map((i) => tableSigma(i, shift));
  },
  linear_quadratic: (steps) => linearQuadratic(steps),
  kl_optimal: (steps, shift) => {
    const [from, to] = [Math.atan(1), Math.atan(tableSigma(0, shift))];
    return line(from, to, steps).map(Math.tan);
  },
  karras: (steps, shift) =>
    line(1, tableSigma(0, shift) ** (1 / RHO), steps).map((root) => root ** RHO),
  exponential: (steps, shift) => line(0, Math.log(tableSigma(0, shift)), steps).map(Math.exp),
  ddim_uniform: (steps, shift) => {
    const stride = Math.max(Math.floor(TABLE / steps), 1);
    const sigmas: number[] = [];
    for (let i = 1; i < TABLE; i += stride) sigmas.push(tableSigma(i, shift));
    return sigmas.reverse();
  },
};

/**
 * The noise levels of a sampler: falling, one for each step, and 0 at the end; `beta` and `ddim_uniform` may lay out another
 * number of steps. With `denoise` below 1 they are the last of floor(steps / denoise) steps.
 */
export function sigmaSchedule(
  scheduler: Scheduler,
  steps: number,
  options: { readonly shift?: number; readonly denoise?: number } = {},
): number[] {
  const { shift = SD3_SHIFT, denoise = 1 } = options;
  const all = denoise < 1 ? Math.floor(steps / denoise) : steps;
  const sigmas = [...LAYOUTS[scheduler](all, shift), 0];
  return denoise < 1 ? sigmas.slice(-(steps + 1)) : sigmas;
}

/** Half the steps on a line down from 1, half on a parabola (Genmo's Mochi, where the scheduler comes from). */
function linearQuadratic(steps: number): number[] {
  if (steps === 1) return [1];
  const linearSteps = Math.floor(steps / 2);
  const quadraticSteps = steps - linearSteps;
  const difference = linearSteps - LINEAR_END * steps;
  const quadratic = difference / (linearSteps * quadraticSteps ** 2);
  const slope = LINEAR_END / linearSteps - (2 * difference) / quadraticSteps ** 2;
  const constant = quadratic * linearSteps ** 2;
  return Array.from({ length: steps }, (_, i) =>
    i < linearSteps
      ? 1 - (i * LINEAR_END) / linearSteps
      : 1 - (quadratic * i ** 2 + slope * i + constant),
  );
}

/** To the nearest integer, of two equally near the even one. */
function roundEven(x: number): number {
  const floor = Math.floor(x);
  if (x - floor !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
}
