/** @file What a distillation is told: options, checks, and the facts that decide its numbers. */
import { FlowstepError } from '../../errors.ts';
import type { Dataset } from '../data/dataset.ts';
import type { Json } from '../files/canonical-json.ts';
import type { TimeDensity } from '../flow/density.ts';
import type { VelocityWeight } from '../methods/fgm.ts';
import { type RealDataWeights, usesRealData } from '../methods/real-data.ts';
import { classCount, type NetworkConfig, sampleShape } from '../nn/config.ts';
import { latestTime } from '../nn/network.ts';
import { initialise, type ParameterList } from '../nn/parameters.ts';
import { sameShape } from '../tensor.ts';
import { type LoopOptions, loopConfiguration } from './loop-options.ts';
import { type FlowModel, type StudentSettings, weightsHash } from './model.ts';

export interface OnlineOptions {
  readonly init: 'teacher' | 'random';
  /** Online updates per student update (K). */
  readonly updates: number;
  readonly learningRate: number;
  readonly density: TimeDensity;
}

export interface RealData extends RealDataWeights {
  readonly dataset: Dataset;
}

/** `steps`, rate and average are the student's, `density` that of its loss. */
export interface DistillJob extends LoopOptions {
  readonly teacher: FlowModel;
  readonly online: OnlineOptions;
  /** Weights that the online flow starts from, instead of `online.init`. */
  readonly onlineModel?: FlowModel;
  readonly lambda1: number;
  readonly weight: VelocityWeight;
  readonly student: StudentSettings;
  readonly realData?: RealData;
}

/** The configuration but for network and student settings, which a model file has places of their own for. */
export function factsOf(job: DistillJob): Readonly<Record<string, Json>> {
  const { teacher, online, onlineModel, lambda1, weight, realData } = job;
  return {
    method: 'fgm',
    teacher: weightsHash(teacher),
    online: { ...online, ...(onlineModel && { start: weightsHash(onlineModel) }) },
    lambda1,
    weight,
    ...(realData && {
      realData: {
        dataset: { name: realData.dataset.name, hash: realData.dataset.hash },
        realAlpha: realData.realAlpha,
        realBeta: realData.realBeta,
      },
    }),
    ...loopConfiguration(job),
  };
}

/** First weights of the online flow. */
export function onlineStart(job: DistillJob, list: ParameterList): Float32Array {
  if (job.onlineModel) return job.onlineModel.parameters.slice();
  if (job.online.init === 'teacher') return job.teacher.parameters.slice();
  return initialise(list, job.seed);
}

/** Throws SHAPE_MISMATCH or VALUE_OUT_OF_RANGE when teacher, online flow and real data do not fit together. */
export function checkJob(
  { teacher, onlineModel, realData, student }: DistillJob,
  list: ParameterList,
): void {
  const { network } = teacher.info;
  const latest = latestTime(network);
  if (student.tStar > latest) {
    throw new FlowstepError(
      'VALUE_OUT_OF_RANGE',
      `t* is ${student.tStar}, but the teacher is an EDM network, which knows times up to ${latest.toFixed(4)} only`,
      { field: 'tStar', hint: 'Use 0.97, or any t* below that.' },
    );
  }
  checkWeights('the teacher', teacher, network, list);
  if (onlineModel) checkWeights('the online flow', onlineModel, network, list);
  if (!realData) return;
  if (!usesRealData(realData)) {
    throw new FlowstepError('VALUE_OUT_OF_RANGE', 'real data with realAlpha 1 would not be used', {
      field: 'realAlpha',
      hint: 'Set realAlpha and realBeta below 1, or leave the data set out.',
    });
  }
  const { shape, classes, name } = realData.dataset;
  if (sameShape(shape, sampleShape(network)) && classes >= classCount(network)) return;
  throw new FlowstepError(
    'SHAPE_MISMATCH',
    `the real data ${name} has samples of [${shape.join(', ')}] with ${classes} classes, the teacher makes [${sampleShape(network).join(', ')}] with ${classCount(network)}`,
    { field: 'dataset', hint: 'Use the data that the teacher was trained on.' },
  );
}

function checkWeights(
  what: string,
  model: FlowModel,
  network: NetworkConfig,
  list: ParameterList,
): void {
  const same = JSON.stringify(model.info.network) === JSON.stringify(network);
  if (!same || model.parameters.length !== list.size) {
    throw new FlowstepError('SHAPE_MISMATCH', `${what} is another network than the teacher`, {
      hint: 'use the online flow that belongs to this teacher',
    });
  }
}
