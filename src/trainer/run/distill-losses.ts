/** @file The losses of a distillation as graphs over what its steps are fed. */

import { guidedVelocity } from '../flow/guidance.ts';
import { linearPath } from '../flow/path.ts';
import type { Value } from '../graph/graph.ts';
import { add, expand, mul } from '../graph/ops.ts';
import { fgmLoss, oneStepStudent, predictedData, velocityWeight } from '../methods/fgm.ts';
import { flowMatchingLoss } from '../methods/flow-matching.ts';
import { deceptionLoss, discriminatorLoss, type GanHead } from '../methods/gan.ts';
import { type Judged, realDataOnlineLoss, scaledVelocity } from '../methods/real-data.ts';
import { sampleShape } from '../nn/config.ts';
import { discriminatorLogits } from '../nn/features.ts';
import type { Condition } from '../nn/network.ts';
import { sizeOf } from '../tensor.ts';
import { conditionIn } from './conditions.ts';
import { GAN, REAL } from './distill-feeds.ts';
import type { DistillJob } from './distill-job.ts';
import { augmented, weightOf } from './flow-training.ts';
import { type BuiltLoss, type Field, TRAINED, type Velocity } from './gradient-graph.ts';

type Feeds = Readonly<Record<string, Value>>;

/** The student's samples: from noise in one step, or from where its walk has taken it by one more. */
function studentSamples(
  { student }: DistillJob,
  field: Velocity,
  { z, studentTime }: Feeds,
): Value {
  if (studentTime) return predictedData(z!, studentTime, field(z!, studentTime));
  const { tStar, cIn } = student;
  const atTStar = (x: Value) => field(x, expand(x.graph.scalar(tStar, x.dtype), [x.shape[0]!]));
  return oneStepStudent(z!, tStar, cIn, atTStar);
}

/** The input that is 1 once the discriminator takes part, 0 before. */
export const GAN_ON = 'gan/on';

/** Names of the condition that stands for none begin with this. */
export const EMPTY = 'empty/';

/** The velocity of one of the networks under its guidance away from no condition. */
function guided(
  { guidance }: DistillJob,
  of: 'teacher' | 'online',
  field: Velocity,
  feeds: Feeds,
): Velocity {
  const scale = guidance?.[of] ?? 1;
  if (scale === 1) return field;
  return (x, t, condition) => {
    const augment = condition?.augment;
    const empty = { ...conditionIn(feeds, x.shape[0]!, EMPTY), augment };
    return guidedVelocity(field(x, t, condition), field(x, t, empty), t, {
      scale,
      latest: guidance?.latest,
    });
  };
}

/** Flow matching of the online flow on the student's samples, and on real ones where there are any. */
export function onlineLoss(
  job: DistillJob,
  field: (prefix: string) => Field,
  feeds: Feeds,
): BuiltLoss {
  const { x1, t } = feeds;
  const x0 = studentSamples(job, field('student'), feeds);
  const { x, augment } = augmented(x0, feeds);
  const { xt, c } = linearPath(x, x1!, t!);
  const online = guided(job, 'online', field(TRAINED), feeds);
  const told = augment && { ...conditionIn(feeds, x0.shape[0]!), augment };
  const weight = weightOf(job.online, job.teacher.info.network, t!);
  const student = { v: online(xt, t!, told), c, weight };
  const flow = job.realData
    ? realDataOnlineLoss(student, onRealData(job, online, feeds), job.realData)
    : flowMatchingLoss(student.v, c, weight);
  if (!job.gan) return { loss: flow };
  const judge = judgeOf(job.gan.head, TRAINED, field, feeds);
  const condition = conditionIn(feeds, x0.shape[0]!, GAN);
  const real = judge(feeds[`${GAN}x`]!, feeds[`${GAN}realNoise`]!, condition);
  const discriminator = discriminatorLoss(real, judge(x0, feeds[`${GAN}noise`]!));
  const share = mul(feeds[GAN_ON]!, ganScale(job, job.gan.discriminatorWeight));
  return { loss: add(flow, mul(discriminator, share)), meters: { flow, discriminator } };
}

function onRealData(job: DistillJob, online: Velocity, feeds: Feeds): Judged {
  const [x0, noise, t] = [feeds[`${REAL}x`]!, feeds[`${REAL}noise`]!, feeds[`${REAL}t`]!];
  const { x, augment } = augmented(x0, feeds);
  const { xt, c } = linearPath(x, noise, t);
  const condition = { ...conditionIn(feeds, x0.shape[0]!, REAL), augment };
  const weight = weightOf(job.online, job.teacher.info.network, t);
  return { v: online(xt, t, condition), c, weight };
}

/** The other losses are sums over a sample's elements: a weight means the same for samples of any size. */
function ganScale({ teacher }: DistillJob, weight: number): number {
  return weight * sizeOf(sampleShape(teacher.info.network));
}

/**
 * The discriminator: logits [B, L] of samples x with noise. `dense` has enough weights of its own to judge by what the teacher
 * sees, which stays as it is: what the online flow sees changes faster than so many weights can learn.
 */
function judgeOf(head: GanHead, online: string, field: (prefix: string) => Field, feeds: Feeds) {
  const t = feeds[`${GAN}t`]!;
  const { scope } = field(online);
  const { features } = field(head === 'dense' ? 'teacher' : online);
  return (x: Value, noise: Value, condition?: Condition): Value => {
    const seen = features(linearPath(x, noise, t).xt, t, condition);
    return discriminatorLogits(scope, head, seen);
  };
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
  const u = guided(job, 'teacher', field('teacher'), feeds)(xt, t!);
  const v = guided(job, 'online', field('online'), feeds)(xt, t!);
  const { weight, held } = velocityWeight(job.weight, t!, { x0, xt, u });
  const target = job.realData ? scaledVelocity(c, job.realData) : c;
  const terms = fgmLoss(u, v, target, job.lambda1, weight);
  const loss = job.realData ? mul(terms.loss, job.realData.realAlpha) : terms.loss;
  const meters = { distance: terms.distance };
  if (!job.gan) return { loss, meters, held };
  const judge = judgeOf(job.gan.head, 'online', field, feeds);
  const deception = deceptionLoss(judge(x0, feeds[`${GAN}noise`]!));
  const share = mul(feeds[GAN_ON]!, ganScale(job, job.gan.weight));
  return { loss: add(loss, mul(deception, share)), meters: { ...meters, deception }, held };
}
