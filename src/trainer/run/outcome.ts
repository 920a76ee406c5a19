/** @file How a training run ends. In every case the models are the last good state. */
import { FlowstepError } from '../../errors.ts';

export type Outcome =
  | { readonly kind: 'finished' }
  | { readonly kind: 'interrupted' }
  /** A loss or gradient was not finite; that update was not applied. */
  | { readonly kind: 'diverged'; readonly problem: FlowstepError };

export function diverged(what: string, step: number): Outcome {
  return {
    kind: 'diverged',
    problem: new FlowstepError('NON_FINITE_LOSS', `${what} is not finite at step ${step}`, {
      hint: 'lower the learning rate, clip gradients (clipNorm 1), or, for the full FGM loss, raise the online updates K or use lambda1 0; the last good state was kept',
    }),
  };
}
