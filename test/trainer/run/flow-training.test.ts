/** Dropout, changed pictures and EDM's weight in the training of teachers and online flows. */
import { describe, expect, onTestFinished, test } from 'vitest';
import { AUGMENT_LABELS, TAPS } from '../../../src/trainer/data/augmentation.ts';
import type { Dataset } from '../../../src/trainer/data/dataset.ts';
import { Graph } from '../../../src/trainer/graph/graph.ts';
import { interpret } from '../../../src/trainer/graph/interpreter.ts';
import { NetworkConfigSchema } from '../../../src/trainer/nn/config.ts';
import { parameterList } from '../../../src/trainer/nn/network.ts';
import { type DistillJob, factsOf } from '../../../src/trainer/run/distill-job.ts';
import { Distiller } from '../../../src/trainer/run/distiller.ts';
import { augmented, type FlowTraining } from '../../../src/trainer/run/flow-training.ts';
import { studentSettings } from '../../../src/trainer/run/model.ts';
import { type TeacherJob, TeacherTrainer } from '../../../src/trainer/run/teacher-trainer.ts';
import { TINY_DIT, tinyModel } from '../../support/tiny-models.ts';
import { bitsOf, distill, runToEnd, TINY_DISTILL, trainTeacher } from '../../support/training.ts';

const FIELDS = {
  kind: 'song-unet',
  size: 4,
  channels: 1,
  width: 4,
  multipliers: [1],
  blocks: 1,
  attention: [],
  classes: 3,
  augment: AUGMENT_LABELS,
  precondition: 'edm',
};
const network = NetworkConfigSchema.parse(FIELDS);

const PICTURES: Dataset = {
  name: 'slopes',
  shape: [1, 4, 4],
  classes: 3,
  hash: '00',
  batch: (_seed, step, count) => ({
    x: Float32Array.from({ length: 16 * count }, (_, i) => Math.sin(step + i)),
    labels: Int32Array.from({ length: count }, (_, i) => i % 3),
  }),
};

const EDM = { flowWeight: 'edm', dropout: 0.2, augment: 0.5 } as const;

const { density } = TINY_DISTILL;
const teacherJob: TeacherJob = {
  dataset: PICTURES,
  network,
  ...{ steps: 2, batch: 8, learningRate: 1e-3, warmup: 0, schedule: 'constant' as const },
  ...{ emaDecay: 0, clipNorm: 0, clipValue: 0, density, seed: 3 },
};
const job: DistillJob = {
  ...TINY_DISTILL,
  teacher: tinyModel(network),
  steps: 2,
  batch: 8,
  student: studentSettings({ tStar: 0.714, cIn: 0.714 }),
};

const teacher = async (options: FlowTraining) =>
  (await runToEnd(trainTeacher({ ...teacherJob, ...options }))).result.teacher;

const distilled = async (options: FlowTraining) =>
  (await runToEnd(distill({ ...job, online: { ...job.online, ...options } }))).result;

describe('a teacher', () => {
  test('learns otherwise with each option, and the same again with the same', async () => {
    const plain = bitsOf((await teacher({})).parameters);
    const trained = await Promise.all(
      [{ flowWeight: 'edm' as const }, { dropout: 0.2 }, { augment: 0.5 }, EDM].map(teacher),
    );
    const bits = [plain, ...trained.map(({ parameters }) => bitsOf(parameters))];
    expect(new Set(bits.map(String)).size).toBe(5);
    expect(bitsOf((await teacher(EDM)).parameters)).toEqual(bits[4]);
  });

  test('says what it was trained with, and nothing of what is off', async () => {
    expect((await teacher(EDM)).info.training).toMatchObject(EDM);
    const training = (await teacher({ flowWeight: 'velocity', dropout: 0, augment: 0 })).info
      .training;
    expect(training).toEqual((await teacher({})).info.training);
    for (const name of Object.keys(EDM)) expect(training).not.toHaveProperty(name);
  });

  test('learns what the labels of changes mean only where there are changes', async () => {
    const spec = parameterList(network).specs.find(
      ({ name }) => name === 'model.map_augment.weight',
    )!;
    const weights = async (options: FlowTraining) =>
      (await teacher(options)).parameters.slice(spec.offset, spec.offset + spec.size);
    const still = await weights({});
    expect(await weights({ dropout: 0.2 })).toEqual(still);
    expect(await weights({ augment: 0.5 })).not.toEqual(still);
  });
});

describe('an online flow', () => {
  test('learns otherwise, and the same again with the same', async () => {
    const online = async (options: FlowTraining) =>
      bitsOf((await distilled(options)).online.parameters);
    const trained = await online(EDM);
    expect(await online(EDM)).toEqual(trained);
    expect(await online({})).not.toEqual(trained);
  });

  test('alone: a student beside an online flow that stands still is the same', async () => {
    const student = async (options: FlowTraining) => {
      const online = { ...job.online, ...options, learningRate: 0 };
      const lambda1 = 0.5;
      return bitsOf(
        (await runToEnd(distill({ ...job, online, lambda1 }))).result.student.parameters,
      );
    };
    expect(await student(EDM)).toEqual(await student({}));
  });

  test('under real data and guidance, computed again in the backward pass, has the same gradient', async () => {
    const online = { ...job.online, ...EDM, updates: 1 };
    const realData = { dataset: PICTURES, realAlpha: 0.9, realBeta: 0.9 };
    const guided = { ...job, online, realData, guidance: { teacher: 1.5, online: 1.5 }, steps: 1 };
    const metrics = async (recompute: boolean) =>
      (await runToEnd(distill({ ...guided, recompute }))).steps[0]!.metrics;
    const [plain, again] = [await metrics(false), await metrics(true)];
    for (const name of ['loss/online', 'norm/online']) {
      expect(again[name]! / plain[name]!, name).toBeCloseTo(1, 4);
    }
  });

  test('the teacher leads a student at times up to the latest', async () => {
    const distance = async (guidance?: { teacher: number; online: number; latest?: number }) => {
      const { steps } = await runToEnd(
        distill({ ...job, ...(guidance && { guidance }), steps: 1 }),
      );
      return steps[0]!.metrics['distance/student']!;
    };
    const scales = { teacher: 4, online: 1 };
    const [plain, led] = [await distance(), await distance(scales)];
    expect(led).toBeGreaterThan(1.01 * plain);
    expect(await distance({ ...scales, latest: 0 })).toBeCloseTo(plain, 4);
    const part = await distance({ ...scales, latest: 0.5 });
    expect(part).toBeGreaterThan(1.001 * plain);
    expect(part).toBeLessThan(0.999 * led);
  });

  test('runs with options are other runs; those without are as before', () => {
    const online = { ...job.online, ...EDM };
    expect(factsOf({ ...job, online })).toEqual({ ...factsOf(job), online });
  });
});

describe('refused', () => {
  const plainUnet = NetworkConfigSchema.parse({ ...FIELDS, augment: 0 });

  test('changes of pictures without labels for them, dropout where there is none', () => {
    expect(() => new TeacherTrainer({ ...teacherJob, network: plainUnet, augment: 0.1 })).toThrow(
      /takes no word of 9 numbers/,
    );
    expect(() => new TeacherTrainer({ ...teacherJob, network: TINY_DIT, dropout: 0.1 })).toThrow(
      /kind dit has no dropout/,
    );
    const online = { ...job.online, augment: 0.1 };
    expect(() => new Distiller({ ...job, teacher: tinyModel(plainUnet), online })).toThrow(
      /augment|takes no word/,
    );
  });

  test('a network of EDM takes dropout without labels for changes', async () => {
    const trainer = new TeacherTrainer({ ...teacherJob, network: plainUnet, dropout: 0.1 });
    onTestFinished(() => trainer.dispose());
    const { metrics } = await trainer.step(0);
    expect(metrics['loss/teacher']).toBeGreaterThan(0);
  });
});

test('pictures are changed by their own tables', () => {
  const graph = new Graph();
  const table = [2, 4, TAPS];
  const feeds = {
    'augment/labels': graph.input('labels', [2, AUGMENT_LABELS]),
    'augment/places': graph.input('places', table),
    'augment/weights': graph.input('weights', table),
  };
  graph.output('y', augmented(graph.input('x', [2, 2, 2, 2]), feeds).x);
  const places = new Float32Array(2 * 4 * TAPS);
  const weights = new Float32Array(2 * 4 * TAPS);
  // The first picture is mirrored; each place of the second is half its own, half the last one.
  for (let place = 0; place < 4; place++) {
    places[place * TAPS] = place ^ 1;
    weights[place * TAPS] = 1;
    const at = (4 + place) * TAPS;
    places.set([place, 3], at);
    weights.set([0.5, 0.5], at);
  }
  const values = new Map<string, ArrayLike<number>>([
    ['labels', new Float32Array(2 * AUGMENT_LABELS)],
    ['places', places],
    ['weights', weights],
    ['x', Float32Array.from({ length: 16 }, (_, i) => i)],
  ]);
  const y = [...interpret(graph, values).get('y')!.data];
  expect(y).toEqual([1, 0, 3, 2, 5, 4, 7, 6, 9.5, 10, 10.5, 11, 13.5, 14, 14.5, 15]);
});
