/**
 * @file Real data in the losses of FGM, without a discriminator: RealUID (arXiv 2509.22459).
 *
 * With alpha = beta = 1 it is FGM. The online flow learns
 * alpha |v - (beta/alpha) c|^2 on the student's samples and
 * (1 - alpha) |v - ((1 - beta)/(1 - alpha)) c_real|^2 on real ones; the student's loss is
 * alpha (|u - (beta/alpha) c|^2 - |v - (beta/alpha) c|^2), which is alpha times FGM's with (beta/alpha) c for c.
 */
import { FlowstepError } from '../../errors.ts';
import type { Value } from '../graph/graph.ts';
import { add, mul } from '../graph/ops.ts';
import { flowMatchingLoss } from './flow-matching.ts';

export interface RealDataWeights {
  /** In (0, 1]; not SiD's alpha. */
  readonly realAlpha: number;
  readonly realBeta: number;
}

/** Whether the losses have a real-data term; throws VALUE_OUT_OF_RANGE for weights that make no sense. */
export function usesRealData({ realAlpha, realBeta }: RealDataWeights): boolean {
  const inRange = (value: number) => value > 0 && value <= 1;
  if (!inRange(realAlpha) || !inRange(realBeta)) {
    throw new FlowstepError(
      'VALUE_OUT_OF_RANGE',
      `realAlpha ${realAlpha} and realBeta ${realBeta} must lie above 0 and not above 1`,
      { field: 'realAlpha', hint: 'RealUID works best with both between 0.9 and 1.' },
    );
  }
  if (realAlpha === 1 && realBeta !== 1) {
    throw new FlowstepError(
      'VALUE_OUT_OF_RANGE',
      `realBeta is ${realBeta} with realAlpha 1: nothing would balance it`,
      { field: 'realBeta', hint: 'Set realBeta to 1 (no real data), or realAlpha below 1.' },
    );
  }
  return realAlpha < 1;
}

/** (beta/alpha) c: what takes the place of c wherever the student's samples are. */
export function scaledVelocity(c: Value, { realAlpha, realBeta }: RealDataWeights): Value {
  return realAlpha === realBeta ? c : mul(c, realBeta / realAlpha);
}

export interface Judged {
  /** The online flow at points of the path. */
  readonly v: Value;
  /** The velocity of the path there. */
  readonly c: Value;
  /** Weight of the loss at each sample's time, [B]; undefined = 1. */
  readonly weight?: Value | undefined;
}

/** The online flow's loss on samples of the student and on real ones. */
export function realDataOnlineLoss(student: Judged, real: Judged, weights: RealDataWeights): Value {
  const { realAlpha, realBeta } = weights;
  const generated = flowMatchingLoss(student.v, scaledVelocity(student.c, weights), student.weight);
  const target = mul(real.c, (1 - realBeta) / (1 - realAlpha));
  const seen = flowMatchingLoss(real.v, target, real.weight);
  return add(mul(generated, realAlpha), mul(seen, 1 - realAlpha));
}
