/** @file What a distillation is told: options, checks, and the facts that decide its numbers. */
import { FlowstepError } from '../../errors.ts';
import type { Dataset } from '../data/dataset.ts';
import type { PromptSet } from '../data/prompts.ts';
import type { Json } from '../files/canonical-json.ts';
import type { TimeDensity } from '../flow/density.ts';
import type { VelocityWeight } from '../methods/fgm.ts';
import type { GanHead } from '../methods/gan.ts';
import { type RealDataWeights, usesRealData } from '../methods/real-data.ts';
import { type NetworkConfig, sampleShape } from '../nn/config.ts';
import { withHead } from '../nn/features.ts';
import { type LoraConfig, loraParameterList } from '../nn/lora.ts';
import { latestTime, parameterList } from '../nn/network.ts';
import { initialise, type ParameterList } from '../nn/parameters.ts';
import { sameShape } from '../tensor.ts';
import type { FlowTraining } from './flow-training.ts';
import { type LoopOptions, loopConfiguration } from './loop-options.ts';
import { type FlowModel, type StudentSettings, weightsHash } from './model.ts';

export interface OnlineOptions extends FlowTraining {
  readonly init: 'teacher' | 'random';
  /** Online updates per student update (K). */
  readonly updates: number;
  readonly learningRate: number;
  readonly density: TimeDensity;
  /** Train adapters on the teacher's weights instead of a network of its own. */
  readonly lora?: LoraConfig | undefined;
}

/** Scales of classifier-free guidance; 1 = none. */
export interface GuidanceScales {
  readonly teacher: number;
  /** The online flow is trained and used under guidance too (long and short guidance of SiD-DiT). */
  readonly online: number;
  /** Latest time with guidance; left out = all times. */
  readonly latest?: number | undefined;
}

export interface RealData extends RealDataWeights {
  readonly dataset: Dataset;
}

/** A discriminator on the online flow's features; weights of 0 turn it off. They stand beside losses a sample's element. */
export interface GanOptions {
  readonly dataset: Dataset;
  /** Of the student's term, beside FGM's loss. */
  readonly weight: number;
  /** Of the discriminator's loss, beside the online flow's. */
  readonly discriminatorWeight: number;
  readonly head: GanHead;
  /** Iterations before it begins: its reals must be better than the student is. */
  readonly start: number;
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
  /** First weights of a student without adapters: the teacher's unless said otherwise. */
  readonly studentInit?: 'teacher' | 'random';
  /** A student to go on with, instead of `studentInit`: its weights, or its adapters. */
  readonly studentModel?: FlowModel;
  /** Adam's decay of the first moment, for student and online flow; left out = 0. */
  readonly beta1?: number;
  /** The student is adapters on the teacher's weights instead of a network of its own. */
  readonly lora?: LoraConfig;
  /** For networks that take text; drawn evenly. */
  readonly prompts?: PromptSet;
  readonly guidance?: GuidanceScales;
  readonly realData?: RealData;
  readonly gan?: GanOptions;
}

/** The configuration but for network and student settings, which a model file has places of their own for. */
export function factsOf(job: DistillJob): Readonly<Record<string, Json>> {
  const { teacher, online, onlineModel, studentModel, lambda1, weight } = job;
  const { lora, prompts, guidance, realData, gan, beta1 } = job;
  return {
    method: 'fgm',
    teacher: weightsHash(teacher),
    online: { ...online, ...(onlineModel && { start: weightsHash(onlineModel) }) },
    lambda1,
    weight,
    ...(job.studentInit === 'random' && { studentInit: 'random' }),
    ...(studentModel && { studentStart: weightsHash(studentModel) }),
    ...(beta1 && { beta1 }),
    ...(lora && { lora }),
    ...(prompts && { prompts: { name: prompts.name, hash: prompts.hash } }),
    ...(guidance && { guidance: { ...guidance } }),
    ...(realData && {
      realData: {
        dataset: { name: realData.dataset.name, hash: realData.dataset.hash },
        realAlpha: realData.realAlpha,
        realBeta: realData.realBeta,
      },
    }),
    ...(gan && { gan: { ...gan, dataset: { name: gan.dataset.name, hash: gan.dataset.hash } } }),
    ...loopConfiguration(job),
  };
}

/** What a learner learns: all parameters of the network, or adapters. */
export function learnedParameters(
  { teacher }: DistillJob,
  lora: LoraConfig | undefined,
): ParameterList {
  const { network } = teacher.info;
  return lora ? loraParameterList(network, lora) : parameterList(network);
}

/** What the online flow learns: as above, and the discriminator's head where it has weights. */
export function onlineParameters(job: DistillJob): ParameterList {
  const list = learnedParameters(job, job.online.lora);
  return job.gan ? withHead(list, job.teacher.info.network, job.gan.head) : list;
}

/** First weights of the student. */
export function studentStart(job: DistillJob, list: ParameterList): Float32Array {
  const { studentModel } = job;
  if (studentModel) return (studentModel.adapters ?? studentModel).parameters.slice();
  const isFresh = job.lora || job.studentInit === 'random';
  return isFresh ? initialise(list, job.seed) : job.teacher.parameters.slice();
}

/** First weights of the online flow; fresh adapters change nothing, which is the teacher again. */
export function onlineStart(job: DistillJob, list: ParameterList): Float32Array {
  const { online, onlineModel, teacher, seed } = job;
  const start = initialise(list, seed);
  // A discriminator's head comes after what a model holds.
  if (onlineModel) start.set((onlineModel.adapters ?? onlineModel).parameters);
  else if (online.init === 'teacher' && !online.lora) start.set(teacher.parameters);
  return start;
}

/** Throws SHAPE_MISMATCH or VALUE_OUT_OF_RANGE when teacher, online flow, real data and conditions (classes or prompts) do not fit together. */
export function checkJob(job: DistillJob, conditions: number): void {
  const { teacher, onlineModel, studentModel, online, realData, gan, student, guidance } = job;
  const { network } = teacher.info;
  const list = parameterList(network);
  const latest = latestTime(network);
  if (student.tStar > latest) {
    throw new FlowstepError(
      'VALUE_OUT_OF_RANGE',
      `t* is ${student.tStar}, but the teacher is an EDM network, which knows times up to ${latest.toFixed(4)} only`,
      { field: 'tStar', hint: 'Use 0.97, or any t* below that.' },
    );
  }
  checkWeights('the teacher', teacher, network, list);
  if (onlineModel) {
    checkWeights('the online flow', onlineModel, network, list);
    checkAdapters('the online flow', onlineModel, online.lora);
  }
  if (studentModel) {
    checkWeights('the student', studentModel, network, list);
    checkAdapters('the student', studentModel, job.lora);
    if (job.studentInit === 'random') {
      throw new FlowstepError(
        'VALUE_OUT_OF_RANGE',
        'a student to go on with cannot start from random weights',
        {
          field: 'student_init',
          hint: 'Set student_init to teacher, or leave the student out.',
        },
      );
    }
  }
  if (online.lora && online.init === 'random') {
    throw new FlowstepError('VALUE_OUT_OF_RANGE', 'adapters cannot start from random weights', {
      field: 'init',
      hint: 'Set init to teacher, or lora_rank to 0.',
    });
  }
  if (guidance && conditions === 0) {
    throw new FlowstepError(
      'VALUE_OUT_OF_RANGE',
      'guidance leads towards a class or a text, and the teacher takes neither',
      { field: 'cfg', hint: 'Set cfg and online_cfg to 1.' },
    );
  }
  if (gan) requireFit(gan.dataset, network, conditions);
  if (!realData) return;
  if (!usesRealData(realData)) {
    throw new FlowstepError('VALUE_OUT_OF_RANGE', 'real data with realAlpha 1 would not be used', {
      field: 'realAlpha',
      hint: 'Set realAlpha and realBeta below 1, or leave the data set out.',
    });
  }
  requireFit(realData.dataset, network, conditions);
}

function requireFit(
  { shape, classes, name }: Dataset,
  network: NetworkConfig,
  conditions: number,
): void {
  const isFit = conditions === 0 || classes === conditions;
  if (sameShape(shape, sampleShape(network)) && isFit) return;
  throw new FlowstepError(
    'SHAPE_MISMATCH',
    `the real data ${name} has samples of [${shape.join(', ')}] with ${classes} classes, the teacher makes [${sampleShape(network).join(', ')}] with ${conditions}`,
    { field: 'dataset', hint: 'Use the data that the teacher was trained on.' },
  );
}

function checkAdapters(what: string, { adapters }: FlowModel, lora: LoraConfig | undefined): void {
  if (JSON.stringify(adapters?.config) === JSON.stringify(lora)) return;
  throw new FlowstepError(
    'SHAPE_MISMATCH',
    `${what} has ${adapters ? `adapters of rank ${adapters.config.rank}` : 'no adapters'}, and ${lora ? `rank ${lora.rank}` : 'none'} are asked for`,
    { field: 'lora_rank', hint: 'Go on with the settings that it was made with.' },
  );
}

/** Throws MODEL_INVALID when what is to go on was adapted to other weights than those of the teacher, which has this hash. */
export function checkBases({ onlineModel, studentModel }: DistillJob, teacher: string): void {
  for (const [what, model] of [
    ['the online flow', onlineModel],
    ['the student', studentModel],
  ] as const) {
    const base = model?.info.lora?.base;
    if (base === undefined || base === teacher) continue;
    throw new FlowstepError(
      'MODEL_INVALID',
      `${what} has adapters of other weights: of those with sha256 ${base}, and the teacher has ${teacher}`,
      { hint: 'Distil the teacher that it was made on.' },
    );
  }
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
      hint: 'Use the one that belongs to this teacher.',
    });
  }
}
