/**
 * @file Networks that speak of time, noise and their output in other ways, as velocity fields of the linear path: with
 * xt = (1 - t) x0 + t x1 the noise level is sigma = t / (1 - t), and the velocity follows from any prediction of x0 or x1.
 */
import type { Value } from '../graph/graph.ts';
import {
  add,
  div,
  log,
  max,
  min,
  mul,
  neg,
  reciprocal,
  reduceSum,
  reshape,
  sqrt,
  square,
  sub,
} from '../graph/ops.ts';
import { tableOf } from '../nn/constants.ts';
import type { Convention } from '../nn/onnx-config.ts';
import { EDM_TIMES } from './edm.ts';
import { perSample } from './path.ts';

/** Noise level sigma as our time. */
const timeOf = (sigma: number): number => sigma / (1 + sigma);

/** The times for which a network answers; those outside are moved to the border. */
export function knownTimes(convention: Convention): Times {
  const { min: least, max: greatest } = conventionTimes(convention);
  return { min: least, max: Math.min(greatest, convention.latest) };
}

interface Times {
  readonly min: number;
  readonly max: number;
}

function conventionTimes(convention: Convention): Times {
  const { predicts, time, sigmas } = convention;
  switch (time) {
    case 'sigma':
      return { min: timeOf(sigmas[0]), max: timeOf(sigmas[1]) };
    case 'ddpm': {
      const levels = chainLevels(convention.chain);
      return { min: timeOf(levels[0]!), max: timeOf(levels.at(-1)!) };
    }
    default:
      // A prediction of data says nothing of the velocity where there is no noise, one of noise nothing where there is no data.
      return {
        min: predicts === 'denoiser' ? EDM_TIMES.min : 0,
        max: predicts === 'noise' ? EDM_TIMES.max : 1,
      };
  }
}

/** v(x, t), x [B, ...sample], t [B], of a network that is given its input and time [B] by its own convention. */
export function conventionalVelocity(
  convention: Convention,
  x: Value,
  time: Value,
  network: (input: Value, time: Value) => Value,
): Value {
  const { predicts } = convention;
  const { min: least, max: greatest } = knownTimes(convention);
  const above = least > 0 ? max(time, least) : time;
  const t = greatest < 1 ? min(above, greatest) : above;
  const { scale, asked } = inputOf(convention, t);
  const input = scale ? mul(x, perSample(scale, x)) : x;
  const out = network(input, asked);
  if (predicts === 'denoiser') return div(sub(x, out), perSample(t, x));
  const noise =
    predicts === 'velocity' && convention.time === 'ddpm' ? noiseOfVelocity(input, out, t) : out;
  if (predicts === 'noise' || noise !== out) return div(sub(noise, x), perSample(sub(1, t), x));
  return convention.time === 'reversed' ? neg(out) : out;
}

/** What the network's input is of xt, and the time that it is asked for, [B] each. */
function inputOf(
  { time, chain }: Convention,
  t: Value,
): { readonly scale?: Value; readonly asked: Value } {
  const left = sub(1, t);
  switch (time) {
    case 'flow':
      return { asked: t };
    case 'flow-1000':
      return { asked: mul(t, 1000) };
    case 'reversed':
      return { asked: left };
    case 'sigma':
      return { scale: reciprocal(left), asked: div(t, left) };
    case 'ddpm':
      // x0 + sigma x1 with unit variance: xt over the root of (1 - t)^2 + t^2.
      return {
        scale: reciprocal(sqrt(add(square(left), square(t)))),
        asked: chainStep(chainLevels(chain), div(t, left)),
      };
  }
}

/** The noise in z = a x0 + s x1 with a^2 + s^2 = 1, of v = a x1 - s x0 (Salimans & Ho 2022): s z + a v. */
function noiseOfVelocity(z: Value, v: Value, t: Value): Value {
  const left = sub(1, t);
  const root = sqrt(add(square(left), square(t)));
  return add(mul(z, perSample(div(t, root), z)), mul(v, perSample(div(left, root), v)));
}

/** Noise level sigma of every step of a chain, rising. */
export function chainLevels({ betas, from, to, steps }: Convention['chain']): number[] {
  let kept = 1;
  return Array.from({ length: steps }, (_, k) => {
    kept *= 1 - variance(betas, from, to, k, steps);
    return Math.sqrt((1 - kept) / kept);
  });
}

/** Offset and greatest variance of the cosine schedule (Nichol & Dhariwal 2021). */
const COSINE_OFFSET = 0.008;
const MOST_VARIANCE = 0.999;

function variance(
  betas: Convention['chain']['betas'],
  from: number,
  to: number,
  k: number,
  steps: number,
): number {
  const share = k / (steps - 1);
  if (betas === 'linear') return from + share * (to - from);
  if (betas === 'scaled-linear')
    return (Math.sqrt(from) + share * (Math.sqrt(to) - Math.sqrt(from))) ** 2;
  const kept = (s: number) =>
    Math.cos((((s + COSINE_OFFSET) / (1 + COSINE_OFFSET)) * Math.PI) / 2) ** 2;
  return Math.min(1 - kept((k + 1) / steps) / kept(k / steps), MOST_VARIANCE);
}

/** The step, with its fraction, at which a chain has noise level sigma [B]: linear in log sigma between steps, as ComfyUI has it. */
function chainStep(levels: readonly number[], sigma: Value): Value {
  const logs = levels.map(Math.log);
  const count = logs.length - 1;
  const { graph, dtype } = sigma;
  const starts = tableOf(graph, dtype, [1, count], logs.slice(0, -1));
  const widths = tableOf(
    graph,
    dtype,
    [1, count],
    logs.slice(1).map((l, k) => 1 / (l - logs[k]!)),
  );
  const column = reshape(log(sigma), [sigma.shape[0]!, 1]);
  const passed = max(min(mul(sub(column, starts), widths), 1), 0);
  return reduceSum(passed, [1], false);
}
