/** @file A SongUNet as a velocity: the network itself, or an EDM denoiser made one. */
import { clampedToEdm, edmDenoiser, velocityOfDenoiser } from '../flow/edm.ts';
import type { Value } from '../graph/graph.ts';
import { mul } from '../graph/ops.ts';
import type { SongUNetConfig } from './config.ts';
import type { Scope } from './parameters.ts';
import { type SongUNetInputs, songUNet } from './song-unet.ts';

/** What takes t in [0, 1] to the range that the positional embedding was made for, as in DDPM's 1000 steps. */
const POSITIONAL_RANGE = 1000;

/** v(x, t, condition): x [B, C, S, S], t [B], labels int64 [B] (`classes` = no class), augment [B, augment] -> like x. */
export function songUNetVelocity(
  scope: Scope,
  config: SongUNetConfig,
  x: Value,
  t: Value,
  condition: Omit<SongUNetInputs, 'noise'>,
): Value {
  if (config.precondition === 'none') {
    const noise = config.embedding === 'positional' ? mul(t, POSITIONAL_RANGE) : t;
    return songUNet(scope, config, x, { noise, ...condition });
  }
  const denoiser = (y: Value, sigma: Value) =>
    edmDenoiser(
      (z, noise) => songUNet(scope, config, z, { noise, ...condition }),
      config.sigmaData,
      y,
      sigma,
    );
  return velocityOfDenoiser(denoiser, x, clampedToEdm(t));
}
