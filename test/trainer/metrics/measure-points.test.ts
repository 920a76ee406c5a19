/** Measures of models of points: the same draws for every model. */
import { describe, expect, test } from 'vitest';
import { type PointSetName, pointSet } from '../../../src/trainer/data/points.ts';
import { energyDistance } from '../../../src/trainer/metrics/energy-distance.ts';
import { measureModel } from '../../../src/trainer/metrics/measure-model.ts';
import { modeShares } from '../../../src/trainer/metrics/mode-shares.ts';
import { fillNormal } from '../../../src/trainer/random/philox.ts';
import { STREAMS } from '../../../src/trainer/random/streams.ts';
import type { FlowModel } from '../../../src/trainer/run/model.ts';
import { sample } from '../../../src/trainer/run/sample.ts';
import { float32 } from '../../../src/trainer/tensor.ts';
import { TINY_DIT, TINY_MLP, tinyModel } from '../../support/tiny-models.ts';

const { signal } = new AbortController();
const student = tinyModel(TINY_MLP, { tStar: 0.97, cIn: 1 });

interface Changes {
  readonly metrics?: readonly string[];
  readonly draws?: number;
  readonly steps?: number;
}

/** Figures of 50 points a draw. */
async function measurePoints(
  model: FlowModel,
  set: PointSetName,
  changes: Changes = {},
  stop: AbortSignal = signal,
) {
  const options = { count: 50, draws: 3, seed: 1, ...changes };
  return (await measureModel(model, pointSet(set), undefined, options, stop)).figures;
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
    const found = await measurePoints(student, 'checker', { metrics });
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
    const lost = { metrics, draws: 1 };
    expect(await measurePoints(always(0.5), 'checker', lost)).toEqual({
      'modes-covered': { value: 1 },
      'least-share': { value: 0 },
      outside: { value: 0 },
      // The filled cell from 0 to 1 on both axes is the second one of the third column.
      ...Object.fromEntries(
        Array.from({ length: 8 }, (_, i) => [`mode-shares-${i}`, { value: i === 5 ? 1 : 0 }]),
      ),
    });
    const moved = await measurePoints(always(9), 'checker', lost);
    expect(moved).toMatchObject({ 'modes-covered': { value: 0 }, outside: { value: 1 } });
  });

  test('of teachers take the steps of the solver, those of students their own', async () => {
    const teacher = tinyModel(TINY_MLP);
    const few = await measurePoints(teacher, 'moons', { steps: 1 });
    const more = await measurePoints(teacher, 'moons', { steps: 9 });
    expect(few).not.toEqual(more);
    const fresh = tinyModel(TINY_MLP, { tStar: 1, cIn: 1, steps: 3, transition: 'fresh' });
    const [one, two] = await Promise.all([
      measurePoints(fresh, 'moons', { steps: 1 }),
      measurePoints(fresh, 'moons', { steps: 2 }),
    ]);
    expect(one).toEqual(two);
  });

  test.each([
    ['samples that are not finite', always(Number.NaN), { code: 'DIVERGED' }],
    ['a model of pictures', tinyModel(TINY_DIT), { code: 'SHAPE_MISMATCH' }],
  ])('%s are refused', async (_, model, error) => {
    await expect(measurePoints(model, '8g', {})).rejects.toMatchObject(error);
  });

  test('end when they are stopped', async () => {
    const stopped = AbortSignal.abort();
    await expect(measurePoints(student, '8g', {}, stopped)).rejects.toMatchObject({
      code: 'INTERRUPTED',
    });
  });
});
