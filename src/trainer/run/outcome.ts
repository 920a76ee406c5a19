/** @file How a training run ends. In every case the models are the last good state. */
import { FlowstepError } from '../../errors.ts';

export type Outcome =
  | { readonly kind: 'finished' }
  | { readonly kind: 'interrupted' }
  /** A loss or gradient was not finite (that update was not applied), or the loss ran away. */
  | { readonly kind: 'diverged'; readonly problem: FlowstepError };

const ADVICE =
  'lower the learning rate, clip gradients (clipNorm 1), or, for the full FGM loss, raise the online updates K or use lambda1 0';

export function notFinite(what: string, step: number): Outcome {
  return {
    kind: 'diverged',
    problem: new FlowstepError('NON_FINITE_LOSS', `${what} is not finite at step ${step}`, {
      hint: `${ADVICE}; the last good state was kept`,
    }),
  };
}

export function ranAway(metric: string, value: number, bound: number, step: number): Outcome {
  const numbers = `${metric} averages ${value.toPrecision(3)}, more than ${bound.toPrecision(3)}`;
  return {
    kind: 'diverged',
    problem: new FlowstepError('DIVERGED', `the run has diverged at step ${step}: ${numbers}`, {
      hint: `${ADVICE}; checkpoints from before are kept`,
    }),
  };
}
