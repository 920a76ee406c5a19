import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { drawSamples } from '../../src/nodes/draw-samples.ts';
import { fashionMnist } from '../../src/trainer/data/fashion-mnist.ts';
import { loadModel } from '../../src/trainer/run/model-file.ts';

const CLASSES = 10;
const PIXELS = 28 * 28;
const COUNT = 100;

const model = (name: string) =>
  loadModel(fileURLToPath(new URL(`../../models/fashion/${name}.safetensors`, import.meta.url)));

const student = async (seed: number) =>
  (
    await drawSamples(await model('student'), {
      solver: 'one-step',
      steps: 1,
      seed,
      count: COUNT,
    })
  ).data;

const picture = (data: Float32Array, i: number) => data.subarray(i * PIXELS, (i + 1) * PIXELS);

function correlation(a: Float32Array, b: Float32Array): number {
  const mean = (x: Float32Array) => x.reduce((s, v) => s + v, 0) / x.length;
  const [ma, mb] = [mean(a), mean(b)];
  let [ab, aa, bb] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    ab += (a[i]! - ma) * (b[i]! - mb);
    aa += (a[i]! - ma) ** 2;
    bb += (b[i]! - mb) ** 2;
  }
  return ab / Math.sqrt(aa * bb);
}

/** The mean picture of each class. */
async function classMeans(): Promise<Float32Array[]> {
  const { x, labels } = (await fashionMnist('test')).batch(0, 0, 5000);
  const means = Array.from({ length: CLASSES }, () => new Float32Array(PIXELS));
  for (const [i, label] of labels!.entries()) {
    for (let p = 0; p < PIXELS; p++) means[label]![p]! += x[i * PIXELS + p]!;
  }
  return means;
}

describe('the Fashion-MNIST student that comes with the package', () => {
  test('makes in one step nearly always what its teacher makes in fifty of the same noise', async () => {
    const one = await student(3);
    const many = await drawSamples(await model('teacher'), {
      solver: 'euler',
      steps: 50,
      seed: 3,
      count: 20,
    });
    const alike = Array.from({ length: 20 }, (_, i) =>
      correlation(picture(one, i), picture(many.data, i)),
    ).sort((a, b) => a - b);
    // Distillation compares distributions: here and there the same noise becomes another thing of the same class.
    expect(alike[10]).toBeGreaterThan(0.85);
    expect(alike[3]).toBeGreaterThan(0.5);
  });

  test('makes different pictures of a class from different noise', async () => {
    const samples = await student(4);
    for (let label = 0; label < CLASSES; label++) {
      expect(correlation(picture(samples, label), picture(samples, label + CLASSES))).toBeLessThan(
        0.995,
      );
    }
  });

  test('makes pictures of the class that it is asked for', async ({ skip }) => {
    const means = await classMeans().catch(() => undefined);
    if (!means) return skip('Fashion-MNIST is not installed');
    const samples = await student(5);
    let hits = 0;
    for (let i = 0; i < COUNT; i++) {
      const scores = means.map((mean) => correlation(picture(samples, i), mean));
      if (scores.indexOf(Math.max(...scores)) === i % CLASSES) hits++;
    }
    // Chance is 0.1.
    expect(hits / COUNT).toBeGreaterThan(0.5);
  });
});
