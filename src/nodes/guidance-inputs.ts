/** @file Inputs of classifier-free guidance. */
import { z } from 'zod';
import { FlowstepError } from '../errors.ts';
import type { Guidance } from '../trainer/flow/guidance.ts';
import { classCount, type NetworkConfig, textWidths } from '../trainer/nn/config.ts';

export const cfgTMaxInput = {
  cfg_t_max: z.number().min(0).max(1).default(1).meta({
    advanced: true,
    tooltip:
      'Latest time with guidance: near noise (1) guidance costs variety, so 0.9 or less keeps more of it; 1 = at all times.',
    step: 0.01,
  }),
};

/** The latest time with guidance, where there is one. */
export function latestGuided(tMax: number): Pick<Guidance, 'latest'> {
  return tMax < 1 ? { latest: tMax } : {};
}

/** Guidance as the inputs have it; none at a scale of 1. */
export function readGuidance(inputs: {
  readonly cfg: number;
  readonly cfg_t_max: number;
}): Guidance | undefined {
  if (inputs.cfg === 1) return undefined;
  return { scale: inputs.cfg, ...latestGuided(inputs.cfg_t_max) };
}

/** Throws VALUE_OUT_OF_RANGE for guidance of a network without conditions, which changes nothing and takes twice the time. */
export function requireGuidable(network: NetworkConfig): void {
  if (classCount(network) > 0 || textWidths(network)) return;
  throw new FlowstepError(
    'VALUE_OUT_OF_RANGE',
    'guidance leads towards a class or a text, and the model takes neither',
    { field: 'cfg', hint: 'Set cfg to 1, or leave --cfg out.' },
  );
}
