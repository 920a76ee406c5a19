import { describe, expect, test } from 'vitest';
import { parameterList } from '../../../src/trainer/nn/network.ts';
import { initialise } from '../../../src/trainer/nn/parameters.ts';
import type { DistillJob } from '../../../src/trainer/run/distill-job.ts';
import { TINY_DIT, TINY_MLP, tinyModel } from '../../support/tiny-models.ts';
import { bitsOf, distill, runToEnd, TINY_DISTILL } from '../../support/training.ts';

const job: DistillJob = { ...TINY_DISTILL, steps: 12 };
const { teacher } = job;

const allFinite = (vector: Float32Array) => vector.every(Number.isFinite);

describe('a run', () => {
  test('tells of every student update, and gives student and online flow', async () => {
    const { steps: events, result } = await runToEnd(distill(job));
    expect(result.outcome).toEqual({ kind: 'finished' });
    expect(events.map((e) => e.step)).toEqual(Array.from({ length: 12 }, (_, i) => i + 1));
    const names = ['loss/online', 'norm/online', 'loss/student', 'distance/student'];
    for (const name of [...names, 'norm/student', 'rate/student', 'time/step_ms']) {
      expect(
        events.every(({ metrics }) => Number.isFinite(metrics[name])),
        name,
      ).toBe(true);
    }
    expect(result.student.info).toMatchObject({
      role: 'student',
      student: { tStar: 0.97, cIn: 1, grid: [0.97], transition: 'euler' },
      dataset: teacher.info.dataset,
      training: { steps: 12, batch: 16, lambda1: 1, online: { updates: 2 }, seed: 5 },
    });
    expect(result.online.info.role).toBe('online');
    expect(result.online.info.student).toBeUndefined();
    for (const { parameters } of [result.student, result.online]) {
      expect(allFinite(parameters)).toBe(true);
      expect(parameters).not.toEqual(teacher.parameters);
    }
  });

  test('with an online flow that is the teacher, the first student update has no gradient', async () => {
    const still = { ...job.online, learningRate: 0 };
    const { steps: events } = await runToEnd(distill({ ...job, online: still, steps: 2 }));
    for (const { metrics } of events) {
      expect(metrics['norm/student']).toBe(0);
      expect(metrics['distance/student']).toBe(0);
    }
  });

  test('a DiT with classes, clipped, L2 alone', async () => {
    const pictures = tinyModel(TINY_DIT);
    const before = bitsOf(pictures.parameters);
    const { result } = await runToEnd(
      distill({ ...job, teacher: pictures, lambda1: 0, clipNorm: 1, steps: 3 }),
    );
    expect(result.outcome.kind).toBe('finished');
    expect(allFinite(result.student.parameters)).toBe(true);
    expect(bitsOf(pictures.parameters)).toEqual(before);
  });

  test('where student and online flow start', async () => {
    const start = async (more: Partial<DistillJob>) =>
      (await runToEnd(distill({ ...job, steps: 0, ...more }))).result;
    const plain = await start({});
    expect(plain.student.parameters).toEqual(teacher.parameters);
    expect(plain.online.parameters).toEqual(teacher.parameters);
    const random = await start({ online: { ...job.online, init: 'random' } });
    expect(random.online.parameters).toEqual(initialise(parameterList(TINY_MLP), 5));
    const own = { ...teacher, parameters: teacher.parameters.map((w) => 2 * w) };
    const given = await start({ onlineModel: own });
    expect(given.online.parameters).toEqual(own.parameters);
    expect(given.student.parameters).toEqual(teacher.parameters);
  });

  test('the models that came in are left as they are', async () => {
    const onlineModel = { ...teacher, parameters: teacher.parameters.map((w) => 2 * w) };
    const before = [bitsOf(teacher.parameters), bitsOf(onlineModel.parameters)];
    await runToEnd(distill({ ...job, onlineModel }));
    expect([bitsOf(teacher.parameters), bitsOf(onlineModel.parameters)]).toEqual(before);
  });
});

describe('the seed', () => {
  const trained = async (seed: number) => {
    const { steps: events, result } = await runToEnd(distill({ ...job, seed }));
    return { losses: events.map((e) => e.metrics['loss/student']), ...result };
  };

  test('the same one gives the same bits', async () => {
    const [first, second] = [await trained(7), await trained(7)];
    expect(second.losses).toEqual(first.losses);
    expect(bitsOf(second.student.parameters)).toEqual(bitsOf(first.student.parameters));
    expect(bitsOf(second.online.parameters)).toEqual(bitsOf(first.online.parameters));
  });

  test('another one gives another student', async () => {
    expect((await trained(8)).student.parameters).not.toEqual(
      (await trained(7)).student.parameters,
    );
  });
});

describe('an end before the end', () => {
  test('aborted: no step more, and both models as they are then', async () => {
    const controller = new AbortController();
    const { steps: events, result } = await runToEnd(
      distill(job, { signal: controller.signal }),
      ({ step }) => {
        if (step === 3) controller.abort();
      },
    );
    expect(events).toHaveLength(3);
    expect(result.outcome).toEqual({ kind: 'interrupted' });
    expect(result.student.info.training['steps']).toBe(3);
    expect(allFinite(result.student.parameters)).toBe(true);
    expect(allFinite(result.online.parameters)).toBe(true);
  });

  test.each([
    ['the student', { learningRate: 1e30 }],
    ['the online flow', { online: { ...job.online, learningRate: 1e30 } }],
  ])('%s diverged: the last good weights, all finite, and advice', async (_title, more) => {
    const { steps: events, result } = await runToEnd(distill({ ...job, ...more }));
    expect(result.outcome).toMatchObject({
      kind: 'diverged',
      problem: { code: 'NON_FINITE_LOSS', hint: expect.stringContaining('learning rate') },
    });
    expect(events.length).toBeLessThan(12);
    expect(allFinite(result.student.parameters)).toBe(true);
    expect(allFinite(result.online.parameters)).toBe(true);
  });
});

test('an online flow that is another network is refused', async () => {
  const onlineModel = tinyModel({ ...TINY_MLP, width: 9 });
  await expect(runToEnd(distill({ ...job, onlineModel }))).rejects.toMatchObject({
    code: 'SHAPE_MISMATCH',
    message: expect.stringContaining('online flow'),
  });
});
