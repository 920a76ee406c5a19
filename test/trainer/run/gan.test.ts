import { describe, expect, test } from 'vitest';
import type { Dataset } from '../../../src/trainer/data/dataset.ts';
import { Graph } from '../../../src/trainer/graph/graph.ts';
import { interpret } from '../../../src/trainer/graph/interpreter.ts';
import { deceptionLoss, discriminatorLoss, GAN_HEADS } from '../../../src/trainer/methods/gan.ts';
import { parameterList } from '../../../src/trainer/nn/network.ts';
import type { DistillJob, GanOptions } from '../../../src/trainer/run/distill-job.ts';
import { Distiller } from '../../../src/trainer/run/distiller.ts';
import { normals, smallMmdit } from '../../support/small-mmdit.ts';
import { TINY_DIT, TINY_MLP, tinyModel } from '../../support/tiny-models.ts';
import { bitsOf, distill, runToEnd, TINY_DISTILL } from '../../support/training.ts';

/** Points far from what the tiny teacher makes. */
const FAR: Dataset = {
  name: 'far',
  shape: [2],
  classes: 0,
  hash: 'f',
  batch: (seed, step, count) => ({ x: normals(2 * count, seed + step, 0.1).map((x) => x + 3) }),
};

const GAN: GanOptions = {
  dataset: FAR,
  weight: 1,
  discriminatorWeight: 1,
  head: 'channels',
  start: 0,
};

describe('losses of logits', () => {
  const lossesOf = (real: readonly number[], generated: readonly number[]) => {
    const graph = new Graph();
    const r = graph.input('real', [real.length, 1], 'float64');
    const g = graph.input('generated', [generated.length, 1], 'float64');
    graph.output('discriminator', discriminatorLoss(r, g));
    graph.output('deception', deceptionLoss(g));
    const out = interpret(
      graph,
      new Map([
        ['real', real],
        ['generated', generated],
      ]),
    );
    return [out.get('discriminator')!.data[0]!, out.get('deception')!.data[0]!];
  };
  const softplus = (x: number) => Math.log1p(Math.exp(x));

  test('are cross entropies', () => {
    const [discriminator, deception] = lossesOf([1, -2], [0.5, 3]);
    expect(discriminator).toBeCloseTo(
      (softplus(-1) + softplus(2)) / 2 + (softplus(0.5) + softplus(3)) / 2,
      12,
    );
    expect(deception).toBeCloseTo((softplus(-0.5) + softplus(-3)) / 2, 12);
  });

  test('grow no more beyond logits of 10', () => {
    expect(lossesOf([-11], [11])).toEqual(lossesOf([-1e6], [1e6]));
    expect(lossesOf([-9], [9])[0]).toBeLessThan(lossesOf([-10], [10])[0]!);
  });
});

const run = async (job: Partial<DistillJob>) => runToEnd(distill({ ...TINY_DISTILL, ...job }));

describe('a distillation with a discriminator', () => {
  test.each(GAN_HEADS)('%s: learns to tell real from generated', async (head) => {
    const gan = { ...GAN, head, weight: 0, discriminatorWeight: 20 };
    const { steps } = await run({ gan, steps: 300 });
    const loss = (i: number) => steps[i]!.metrics['loss/discriminator']!;
    expect(loss(299)).toBeLessThan(0.8 * loss(0));
  });

  test('before it starts the student is that of a run without, then it is another', async () => {
    const plain = await run({});
    const later = await run({ gan: { ...GAN, start: 1000 } });
    expect(bitsOf(later.result.student.parameters)).toEqual(
      bitsOf(plain.result.student.parameters),
    );
    const now = await run({ gan: GAN });
    expect(bitsOf(now.result.student.parameters)).not.toEqual(
      bitsOf(plain.result.student.parameters),
    );
  });

  test('the models have no discriminator in them', async () => {
    const { result } = await run({ gan: { ...GAN, head: 'linear' } });
    const { size } = parameterList(TINY_MLP);
    expect([result.student.parameters.length, result.online.parameters.length]).toEqual([
      size,
      size,
    ]);
    const again = await run({ gan: { ...GAN, head: 'linear' }, onlineModel: result.online });
    expect(again.result.outcome.kind).toBe('finished');
  });

  test('tells both losses', async () => {
    const { steps } = await run({ gan: GAN });
    expect(steps[0]!.metrics).toMatchObject({
      'loss/discriminator': expect.closeTo(1.4, 0),
      'loss/deception': expect.closeTo(0.7, 0),
    });
  });

  test.each([
    ['channels', 'classes'],
    ['dense', 'classes'],
    ['linear', 'several steps and adapters'],
    ['dense', 'several steps and adapters'],
  ] as const)('%s goes with %s', async (head, title) => {
    const classes = 3;
    const size = 16;
    const dataset: Dataset = {
      name: 'pictures',
      shape: [1, 4, 4],
      classes,
      hash: 'p',
      batch: (seed, step, count) => ({
        x: normals(size * count, seed + step),
        labels: Int32Array.from({ length: count }, (_, i) => i % classes),
      }),
    };
    const several = title !== 'classes';
    const lora = { rank: 2, alpha: 2, targets: ['qkv'] };
    const { result } = await run({
      teacher: tinyModel(TINY_DIT),
      gan: { ...GAN, dataset, head },
      ...(several && {
        lora,
        online: { ...TINY_DISTILL.online, lora },
        student: { tStar: 1, cIn: 1, grid: [1, 0.5], transition: 'euler' as const },
      }),
    });
    expect(result.outcome.kind).toBe('finished');
  });

  test('refuses data of another shape', () => {
    const teacher = tinyModel(smallMmdit());
    expect(() => new Distiller({ ...TINY_DISTILL, teacher, gan: GAN })).toThrow();
    const job = { ...TINY_DISTILL, teacher: tinyModel(TINY_DIT), gan: GAN };
    expect(() => new Distiller(job)).toThrow(/has samples of \[2\]/);
  });

  test.each([2, 4])('refuses data of %i classes for a teacher of 3', (classes) => {
    const dataset = { ...FAR, shape: [1, 4, 4], classes };
    const job = { ...TINY_DISTILL, teacher: tinyModel(TINY_DIT) };
    for (const data of [
      { gan: { ...GAN, dataset } },
      { realData: { dataset, realAlpha: 0.9, realBeta: 0.9 } },
    ]) {
      expect(() => new Distiller({ ...job, ...data })).toThrow(/with . classes, the teacher makes/);
    }
  });
});
