/**
 * @file A discriminator that judges by what the online flow, or the teacher, has seen at its middle, so it needs few weights
 * of its own; its loss is added to the online flow's. Times are near the data, where fine detail is.
 */
import type { Value } from '../graph/graph.ts';
import { abs, add, exp, log, max, min, neg, reduceMean } from '../graph/ops.ts';

/** What makes logits of the features: `discriminatorLogits` in nn/features.ts. */
export const GAN_HEADS = ['channels', 'linear', 'dense'] as const;
export type GanHead = (typeof GAN_HEADS)[number];

/** Times at which samples are judged; 0 is data. */
export const GAN_TIMES = { kind: 'uniform', min: 0, max: 0.2 } as const;

/** Logits beyond this are as good as certain: they get no gradient (SiD2A). */
const MOST_CERTAIN = 10;

/** Mean of -log P(real) on real samples and of -log P(generated) on generated ones: logits [B, L]. */
export function discriminatorLoss(real: Value, generated: Value): Value {
  return add(reduceMean(softplus(neg(bounded(real)))), reduceMean(softplus(bounded(generated))));
}

/** Mean of -log P(real) on generated samples: logits [B, L]. */
export function deceptionLoss(generated: Value): Value {
  return reduceMean(softplus(neg(bounded(generated))));
}

const bounded = (x: Value): Value => min(max(x, -MOST_CERTAIN), MOST_CERTAIN);

/** log(1 + exp x) without overflow. */
const softplus = (x: Value): Value => add(max(x, 0), log(add(exp(neg(abs(x))), 1)));
