/** @file The losses of a distillation as graphs over what its steps are fed. */

import { guidedVelocity } from '../flow/guidance.ts';
import { linearPath } from '../flow/path.ts';
import type { Value } from '../graph/graph.ts';
import { expand, mul } from '../graph/ops.ts';
import { fgmLoss, oneStepStudent, predictedData, velocityWeight } from '../methods/fgm.ts';
import { flowMatchingLoss } from '../methods/flow-matching.ts';
import { realDataOnlineLoss, scaledVelocity } from '../methods/real-data.ts';
import { type NetworkConfig, sampleShape } from '../nn/config.ts';
import { conditionFeeds, conditionIn, type FeedSpec } from './conditions.ts';
import type { DistillJob } from './distill-job.ts';
import { type BuiltLoss, type Field, TRAINED } from './gradient-step.ts';

type Feeds = Readonly<Record<string, Value>>;

/** The student's samples: from noise in one step, or from where its walk has taken it by one more. */
function studentSamples({ student }: DistillJob, field: Field, { z, studentTime }: Feeds): Value {
  if (studentTime) return predictedData(z!, studentTime, field(z!, studentTime));
  const { tStar, cIn } = student;
  const atTStar = (x: Value) => field(x, expand(x.graph.scalar(tStar, x.dtype), [x.shape[0]!]));
  return oneStepStudent(z!, tStar, cIn, atTStar);
}

/** Names of the condition of real samples begin with this. */
export const REAL = 'real/';

/** Names of the condition that stands for none begin with this. */
export const EMPTY = 'empty/';

/** The velocity of a network under guidance away from no condition. */
function guided(scale: number | undefined, field: Field, feeds: Feeds): Field {
  if (scale === undefined || scale === 1) return field;
  return (x, t, condition) => {
    const empty = conditionIn(feeds, x.shape[0]!, EMPTY);
    return guidedVelocity(field(x, t, condition), field(x, t, empty), scale);
  };
}

/** Flow matching of the online flow on the student's samples, and on real ones where there are any. */
export function onlineLoss(
  job: DistillJob,
  field: (prefix: string) => Field,
  feeds: Feeds,
): BuiltLoss {
  const { x1, t, real, realNoise, realTime } = feeds;
  const { xt, c } = linearPath(studentSamples(job, field('student'), feeds), x1!, t!);
  const online = guided(job.guidance?.online, field(TRAINED), feeds);
  const student = { v: online(xt, t!), c };
  if (!job.realData) return { loss: flowMatchingLoss(student.v, c) };
  const path = linearPath(real!, realNoise!, realTime!);
  const condition = conditionIn(feeds, real!.shape[0]!, REAL);
  const judged = { v: online(path.xt, realTime!, condition), c: path.c };
  return { loss: realDataOnlineLoss(student, judged, job.realData) };
}

/** FGM's loss of the student. */
export function studentLoss(
  job: DistillJob,
  field: (prefix: string) => Field,
  feeds: Feeds,
): BuiltLoss {
  const { x1, t } = feeds;
  const x0 = studentSamples(job, field(TRAINED), feeds);
  const { xt, c } = linearPath(x0, x1!, t!);
  const u = guided(job.guidance?.teacher, field('teacher'), feeds)(xt, t!);
  const v = guided(job.guidance?.online, field('online'), feeds)(xt, t!);
  const { weight, held } = velocityWeight(job.weight, t!, { x0, xt, u });
  const target = job.realData ? scaledVelocity(c, job.realData) : c;
  const terms = fgmLoss(u, v, target, job.lambda1, weight);
  const loss = job.realData ? mul(terms.loss, job.realData.realAlpha) : terms.loss;
  return { loss, meters: { distance: terms.distance }, held };
}

/** What the online flow is fed of real data. */
export function realFeeds(network: NetworkConfig, tokens: number): Record<string, FeedSpec> {
  const shape = sampleShape(network);
  return {
    real: { shape },
    realNoise: { shape },
    realTime: { shape: [] },
    ...conditionFeeds(network, tokens, REAL),
  };
}
