/**
 * @file EDM networks (Karras et al. 2022, "Elucidating the Design Space of Diffusion-Based Generative
 * Models") as velocity fields of the linear path: noise of level sigma there is time t = sigma / (1 + sigma) here.
 */
import type { Value } from '../graph/graph.ts';
import { add, div, log, max, min, mul, reciprocal, sqrt, square, sub } from '../graph/ops.ts';
import { perSample } from './path.ts';

/** EDM's networks know noise levels from 0.002 to 80, which are these times. */
export const EDM_TIMES = { min: 0.002, max: 80 / 81 } as const;

/** Times as an EDM network can take them: what lies outside is moved to the border. */
export const clampedToEdm = (t: Value): Value => max(min(t, EDM_TIMES.max), EDM_TIMES.min);

/** A network F(x, c_noise) without preconditioning: x [B, ...sample], c_noise [B]. */
export type RawNetwork = (x: Value, noise: Value) => Value;

/** D(y; sigma) = c_skip y + c_out F(c_in y, ln(sigma) / 4) (Karras et al. 2022, table 1), sigma [B]. */
export function edmDenoiser(network: RawNetwork, sigmaData: number, y: Value, sigma: Value): Value {
  const variance = add(square(sigma), sigmaData ** 2);
  const cIn = reciprocal(sqrt(variance));
  const cSkip = div(sigmaData ** 2, variance);
  const cOut = mul(mul(sigma, sigmaData), cIn);
  const raw = network(mul(y, perSample(cIn, y)), mul(log(sigma), 0.25));
  return add(mul(y, perSample(cSkip, y)), mul(raw, perSample(cOut, y)));
}

/**
 * u(xt, t) = (xt - D(xt / (1 - t); t / (1 - t))) / t for t [B] in (0, 1): with xt = (1 - t) x0 + t x1,
 * xt / (1 - t) is x0 plus noise of level t / (1 - t), and D is the mean of x0.
 */
export function velocityOfDenoiser(
  denoiser: (y: Value, sigma: Value) => Value,
  xt: Value,
  t: Value,
): Value {
  const left = sub(1, t);
  const mean = denoiser(div(xt, perSample(left, xt)), div(t, left));
  return div(sub(xt, mean), perSample(t, xt));
}
