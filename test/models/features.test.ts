import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { findFashionMnist } from '../../src/trainer/data/fashion-mnist.ts';
import { readIdx } from '../../src/trainer/data/idx.ts';
import { FeatureExtractor } from '../../src/trainer/metrics/extractor.ts';

const FILE = fileURLToPath(new URL('../../models/fashion/features.onnx', import.meta.url));
const COUNT = 1000;
const AREA = 28 * 28;
const CLASSES = 10;

const hasData = await findFashionMnist('test').then(
  () => true,
  () => false,
);

/** Grey noise, which no class looks like. */
const noise = (count: number) =>
  Uint8Array.from({ length: count * AREA }, (_, i) => (i * 2654435761) >>> 24);

describe('the classifier that scores of Fashion-MNIST are taken with', () => {
  test('says what it is: a name, 64 features', async () => {
    using extractor = await FeatureExtractor.open(FILE);
    expect(extractor.declared.name).toBe('fashion-classifier-1');
    expect(extractor.dim).toBe(64);
  });

  test('takes any number of pictures, each by itself', async () => {
    using extractor = await FeatureExtractor.open(FILE);
    const all = await extractor.extract({ shape: [65, 1, 28, 28], data: noise(65) });
    const one = await extractor.extract({
      shape: [1, 1, 28, 28],
      data: noise(65).subarray(64 * AREA),
    });
    expect(all.features).toHaveLength(65 * 64);
    expect(all.logits).toHaveLength(65 * CLASSES);
    const last = all.features.subarray(64 * 64);
    expect(last.some((value) => value > 0)).toBe(true);
    for (const [i, value] of one.features.entries()) expect(value).toBeCloseTo(last[i]!, 4);
  });

  test.skipIf(!hasData)('names at least 90 % of test pictures rightly', async () => {
    const paths = await findFashionMnist('test');
    const [images, labels] = [await readIdx(paths.images), await readIdx(paths.labels)];
    using extractor = await FeatureExtractor.open(FILE);
    const data = images.data.subarray(0, COUNT * AREA);
    const { logits } = await extractor.extract({ shape: [COUNT, 1, 28, 28], data });
    const named = Array.from({ length: COUNT }, (_, i) => {
      const row = logits!.subarray(i * CLASSES, (i + 1) * CLASSES);
      return row.indexOf(row.reduce((a, b) => Math.max(a, b)));
    });
    const right = named.filter((label, i) => label === labels.data[i]).length;
    expect(right / COUNT).toBeGreaterThan(0.9);
  });
});
