/** What sweeps measure: points against the same draws for every model, and the numbers of reports. */
import { describe, expect, test } from 'vitest';
import { measurePoints } from '../../src/host/sweep/measure-points.ts';
import { measureReport } from '../../src/host/sweep/measure-report.ts';
import { PointsMeasureSchema } from '../../src/host/sweep/measure-schema.ts';
import { pointSet } from '../../src/trainer/data/points.ts';
import { energyDistance } from '../../src/trainer/metrics/energy-distance.ts';
import { modeShares } from '../../src/trainer/metrics/mode-shares.ts';
import { fillNormal } from '../../src/trainer/random/philox.ts';
import { STREAMS } from '../../src/trainer/random/streams.ts';
import type { FlowModel } from '../../src/trainer/run/model.ts';
import { sample } from '../../src/trainer/run/sample.ts';
import { float32 } from '../../src/trainer/tensor.ts';
import { TINY_DIT, TINY_MLP, tinyModel } from '../support/tiny-models.ts';

const { signal } = new AbortController();
const student = tinyModel(TINY_MLP, { tStar: 0.97, cIn: 1 });

function measure(fields: object) {
  return PointsMeasureSchema.parse({ model: 'student', draws: 3, samples: 50, ...fields });
}

/** A student whose samples are all in one place: only the last bias is not 0, and next to nothing of the noise comes in. */
function always(value: number): FlowModel {
  const model = tinyModel(TINY_MLP, { tStar: 1, cIn: 1e-30 });
  const parameters = new Float32Array(model.parameters.length);
  parameters.fill(-value, -2);
  return { ...model, parameters };
}

function noise(draw: number, samples: number) {
  const data = new Float32Array(2 * samples);
  fillNormal(data, 1, STREAMS.evaluation, draw);
  return float32(data, [samples, 2]);
}

describe('points', () => {
  test('are compared draw by draw, and averaged', async () => {
    const metrics = ['energy-distance', 'outside'];
    const found = await measurePoints(student, 'checker', measure({ metrics }), signal);
    const draws = await Promise.all(
      [0, 1, 2].map(async (draw) => {
        const fake = (await sample(student, { solver: 'one-step', noise: noise(draw, 50) })).data;
        const real = pointSet('checker').batch(1000, draw, 50).x;
        const outside = 1 - modeShares('checker', fake).reduce((a, b) => a + b, 0);
        return [energyDistance(fake, real, 2), outside] as const;
      }),
    );
    expect(Object.keys(found)).toEqual(metrics);
    for (const [i, name] of metrics.entries()) {
      const values = draws.map((draw) => draw[i]!);
      const mean = (values[0]! + values[1]! + values[2]!) / 3;
      const variance = values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / 2;
      expect(found[name]!.value).toBeCloseTo(mean, 12);
      expect(found[name]!.std).toBeCloseTo(Math.sqrt(variance), 12);
    }
  });

  test('all in one place have lost all modes but one', async () => {
    const metrics = ['modes-covered', 'least-share', 'outside', 'mode-shares'];
    const lost = measure({ metrics, draws: 1 });
    expect(await measurePoints(always(0.5), 'checker', lost, signal)).toEqual({
      'modes-covered': { value: 1 },
      'least-share': { value: 0 },
      outside: { value: 0 },
      // The filled cell from 0 to 1 on both axes is the second one of the third column.
      ...Object.fromEntries(
        Array.from({ length: 8 }, (_, i) => [`mode-shares-${i}`, { value: i === 5 ? 1 : 0 }]),
      ),
    });
    const moved = await measurePoints(always(9), 'checker', lost, signal);
    expect(moved).toMatchObject({ 'modes-covered': { value: 0 }, outside: { value: 1 } });
  });

  test('of teachers take the steps of the solver, those of students their own', async () => {
    const teacher = tinyModel(TINY_MLP);
    const few = await measurePoints(teacher, 'moons', measure({ steps: 1 }), signal);
    const more = await measurePoints(teacher, 'moons', measure({ steps: 9 }), signal);
    expect(few).not.toEqual(more);
    const fresh = tinyModel(TINY_MLP, { tStar: 1, cIn: 1, steps: 3, transition: 'fresh' });
    const [one, two] = await Promise.all([
      measurePoints(fresh, 'moons', measure({ steps: 1 }), signal),
      measurePoints(fresh, 'moons', measure({ steps: 2 }), signal),
    ]);
    expect(one).toEqual(two);
  });

  test.each([
    ['samples that are not finite', always(Number.NaN), { code: 'DIVERGED' }],
    ['a model of pictures', tinyModel(TINY_DIT), { code: 'SHAPE_MISMATCH' }],
  ])('%s are refused', async (_, model, error) => {
    await expect(measurePoints(model, '8g', measure({}), signal)).rejects.toMatchObject(error);
  });

  test('end when they are stopped', async () => {
    const stopped = AbortSignal.abort();
    await expect(measurePoints(student, '8g', measure({}), stopped)).rejects.toMatchObject({
      code: 'INTERRUPTED',
    });
  });
});

describe('reports', () => {
  const report = { scores: { fid: 3.5, kid: Number.NaN }, steps: [7, { of: 9 }], name: 'x' };

  test.each([
    ['values', report],
    ['text', JSON.stringify(report)],
  ])('as %s give all their finite numbers by path', (_, given) => {
    expect(measureReport(given, { report: 'n' })).toEqual({
      'scores.fid': { value: 3.5 },
      'steps.0': { value: 7 },
      'steps.1.of': { value: 9 },
    });
  });

  test('give those that are asked for, or say what there is', () => {
    expect(measureReport(report, { report: 'n', metrics: ['scores.fid'] })).toEqual({
      'scores.fid': { value: 3.5 },
    });
    expect(() => measureReport(report, { report: 'n', metrics: ['scores.kid'] })).toThrow(
      expect.objectContaining({
        code: 'UNKNOWN_KEY',
        hint: 'It has scores.fid, steps.0, steps.1.of.',
      }),
    );
    expect(() => measureReport('{', { report: 'n' })).toThrow(
      expect.objectContaining({ code: 'FILE_FORMAT' }),
    );
  });
});
