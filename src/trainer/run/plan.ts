/** @file What a distillation takes - memory and arithmetic - known from its graphs before any weight is allocated. */
import { activationBytes } from '../graph/activation-memory.ts';
import { flopsOf } from '../graph/flops.ts';
import { Graph } from '../graph/graph.ts';
import { neededNodes } from '../graph/onnx-encode.ts';
import { expand } from '../graph/ops.ts';
import { trafficOf } from '../graph/traffic.ts';
import { oneStepStudent } from '../methods/fgm.ts';
import { type NetworkConfig, sampleShape } from '../nn/config.ts';
import { type LoraConfig, loraParameterList } from '../nn/lora.ts';
import { parameterList, velocity } from '../nn/network.ts';
import { type ParameterList, ParameterScope } from '../nn/parameters.ts';
import { type AdamOptions, adamGraph, chunksOf, stateNames } from '../optim/adam.ts';
import { sizeOf } from '../tensor.ts';
import { conditionFeeds, conditionIn, type FeedSpec } from './conditions.ts';
import { updateSpecs } from './distill-feeds.ts';
import type { DistillJob } from './distill-job.ts';
import { EMPTY, onlineLoss, studentLoss } from './distill-losses.ts';
import { ADAM } from './distiller.ts';
import { type GradientGraph, gradientGraph, microBatch, TRAINED } from './gradient-graph.ts';
import { studentSettings } from './model.ts';

export interface PlanOptions {
  readonly network: NetworkConfig;
  readonly batch: number;
  /** Online updates per student update (K). */
  readonly updates: number;
  /** Length of texts, for networks that take text. */
  readonly tokens: number;
  /** Student and online flow are adapters on the teacher. */
  readonly lora?: LoraConfig | undefined;
  /** The teacher runs with and without its condition. */
  readonly guided?: boolean | undefined;
  readonly recompute?: boolean | undefined;
  /** The batch is worked off at once, as it is on devices other than the CPU. */
  readonly isWhole?: boolean | undefined;
}

export interface TrainingPlan {
  /** Of the network, and of what the student learns. */
  readonly parameters: number;
  readonly trained: number;
  /** Samples worked off at once. */
  readonly microBatch: number;
  /** What is there at the peak of a distillation with one step, by what it is for. */
  readonly bytes: {
    /** The teacher's weights, which adapters share. */
    readonly teacher: number;
    /** Weights, moments, average and gradient of student and online flow. */
    readonly state: number;
    /** The engine's working memory: activations and their gradients of one micro-batch. */
    readonly activations: number;
    /** Graphs, compiled programs, and what they are fed. */
    readonly programs: number;
    /** Node and the engine's library before any of it. */
    readonly process: number;
    readonly peak: number;
  };
  /** Floating-point operations of products and convolutions: K online updates and a student update; a one-step sample. */
  readonly flops: { readonly iteration: number; readonly sample: number };
  /** Bytes that the operators of an iteration read and write, each taken as a pass over memory; updates are not among them. */
  readonly traffic: { readonly iteration: number };
}

const FLOAT_BYTES = 4;

/** An operator in a graph of ours and in a session of ONNX Runtime: measured on `dit-s` and `unet-s`. */
const BYTES_PER_OPERATOR = 11_000;

/** Resident memory of a process that has loaded the engine and does nothing: measured. */
const PROCESS_BYTES = 120 << 20;

/** Fed tensors are there as a batch and as a micro-batch, and noise is drawn ahead. */
const FEED_COPIES = 3;

/** Plans a distillation by FGM into one step, full loss. Nothing of the network's size is allocated. */
export function planDistillation(options: PlanOptions): TrainingPlan {
  const { network, batch, updates, lora } = options;
  const micro = options.isWhole ? batch : microBatch(network, batch, options.recompute);
  const whole = parameterList(network);
  const learned = lora ? loraParameterList(network, lora) : whole;
  const { online, student, feeds } = trainingGraphs(options, learned, micro);

  const vectors = [...stateNames(adam(true)), ...stateNames(adam(false)), 'gradient'].length;
  const teacher = FLOAT_BYTES * whole.size;
  const state = FLOAT_BYTES * learned.size * vectors;
  const activations = activationBytes([online.graph, student.graph]);
  const operators =
    operatorCount(online.graph) +
    operatorCount(student.graph) +
    updateOperators(learned.size, true) +
    updateOperators(learned.size, false);
  const fed = feeds.reduce((sum, { shape, dtype }) => sum + sizeOf(shape) * (dtype ? 8 : 4), 0);
  const programs = BYTES_PER_OPERATOR * operators + 2 * FEED_COPIES * batch * fed;
  return {
    parameters: whole.size,
    trained: learned.size,
    microBatch: micro,
    bytes: {
      teacher,
      state,
      activations,
      programs,
      process: PROCESS_BYTES,
      peak: teacher + state + activations + programs + PROCESS_BYTES,
    },
    flops: {
      iteration:
        updates * online.parts * flopsOf(online.graph) + student.parts * flopsOf(student.graph),
      sample: flopsOf(sampleGraph(options)),
    },
    traffic: {
      iteration:
        updates * online.parts * trafficOf(online.graph) + student.parts * trafficOf(student.graph),
    },
  };
}

const adam = (ema: boolean): AdamOptions => ({ ...ADAM, clipNorm: 0, clipValue: 0, ema });

function trainingGraphs(
  { network, batch, tokens, lora, guided, recompute }: PlanOptions,
  list: ParameterList,
  micro: number,
): { online: GradientGraph; student: GradientGraph; feeds: readonly FeedSpec[] } {
  const job = shapeOfJob(network, batch, lora, guided);
  const feeds = updateSpecs(network, tokens, 1);
  const empty = guided ? conditionFeeds(network, tokens, EMPTY) : {};
  const constants = Object.fromEntries(
    Object.entries(empty).map(([name, { shape, dtype = 'float32' }]) => [
      name,
      { shape: [1, ...shape], dtype },
    ]),
  );
  const shared = { network, batch, feeds, constants, recompute };
  const online = gradientGraph(
    {
      ...shared,
      adapters: { student: lora, [TRAINED]: lora },
      build: (field, values) => onlineLoss(job, field, values),
    },
    list,
    micro,
  );
  const student = gradientGraph(
    {
      ...shared,
      adapters: { [TRAINED]: lora, online: lora },
      build: (field, values) => studentLoss(job, field, values),
    },
    list,
    micro,
  );
  return { online, student, feeds: Object.values(feeds) };
}

/** A job whose teacher has no weights: its losses ask for shapes alone. */
function shapeOfJob(
  network: NetworkConfig,
  batch: number,
  lora: LoraConfig | undefined,
  guided: boolean | undefined,
): DistillJob {
  const density = { kind: 'uniform', min: 0, max: 1 } as const;
  const dataset = { name: '', hash: '' };
  return {
    teacher: {
      info: { role: 'teacher', network, dataset, training: {} },
      parameters: new Float32Array(0),
    },
    online: { init: 'teacher', updates: 1, learningRate: 1, density, ...(lora && { lora }) },
    ...(lora && { lora }),
    ...(guided && { guidance: { teacher: 2, online: 1 } }),
    lambda1: 1,
    weight: 'velocity',
    student: studentSettings({ tStar: 0.97, cIn: 0.97 }),
    steps: 1,
    batch,
    learningRate: 1,
    warmup: 0,
    schedule: 'constant',
    emaDecay: 0,
    clipNorm: 0,
    clipValue: 0,
    density,
    seed: 0,
  };
}

function operatorCount(graph: Graph): number {
  return [...neededNodes(graph)].filter(({ kind }) => kind === 'operator').length;
}

/** Operators of the update of `size` parameters, which has as many for each chunk. */
function updateOperators(size: number, ema: boolean): number {
  const [first, ...others] = chunksOf(size);
  const { end: chunk } = first!;
  const one = operatorCount(adamGraph(chunk, adam(ema)));
  if (others.length === 0) return one;
  const two = operatorCount(adamGraph(2 * chunk, adam(ema)));
  return one + others.length * (two - one);
}

/** One step of a student for one sample. */
function sampleGraph({ network, tokens }: PlanOptions): Graph {
  const graph = new Graph();
  const feeds = Object.entries(conditionFeeds(network, tokens)).map(([name, { shape, dtype }]) => [
    name,
    graph.input(name, [1, ...shape], dtype),
  ]);
  const condition = conditionIn(Object.fromEntries(feeds), 1);
  const z = graph.input('z', [1, ...sampleShape(network)]);
  const field = new ParameterScope(graph, 'network');
  const t = expand(graph.scalar(1, 'float32'), [1]);
  const samples = oneStepStudent(z, 1, 1, (x) => velocity(field, network, x, t, condition));
  graph.output('samples', samples);
  return graph;
}
