/** Pictures as networks want them: sizes, order of channels, values. */
import { describe, expect, test } from 'vitest';
import {
  LEGACY_TENSORFLOW,
  type Pictures,
  type Preprocessing,
  PreprocessingSchema,
  preprocess,
  toPictures,
} from '../../../src/trainer/metrics/preprocessing.ts';

const AS_IS: Preprocessing = {
  size: null,
  filter: 'bilinear-tf1',
  channels: 'rgb',
  layout: 'nchw',
  subtract: 0,
  divide: 1,
};

/** One pixel high and two wide: red, green, blue planes. */
const PAIR: Pictures = { shape: [1, 3, 1, 2], data: Uint8Array.of(10, 20, 30, 40, 50, 60) };

describe('channels and values', () => {
  test.each([
    [{}, [10, 20, 30, 40, 50, 60]],
    [{ channels: 'bgr' }, [50, 60, 30, 40, 10, 20]],
    [{ layout: 'nhwc' }, [10, 30, 50, 20, 40, 60]],
    [{ subtract: 10, divide: 20 }, [0, 0.5, 1, 1.5, 2, 2.5]],
    [{ subtract: [10, 30, 50], divide: [1, 10, 100] }, [0, 10, 0, 1, 0, 0.1]],
    [{ channels: 'bgr', subtract: [50, 30, 10] }, [0, 10, 0, 10, 0, 10]],
  ] as const)('%j', async (changes, expected) => {
    const got = await preprocess(PAIR, PreprocessingSchema.parse({ ...AS_IS, ...changes }));
    expect(Array.from(got)).toEqual(expected.map((v) => Math.fround(v)));
  });

  test('a grey picture is the same in three channels', async () => {
    const grey: Pictures = { shape: [2, 1, 1, 2], data: Uint8Array.of(1, 2, 3, 4) };
    expect(Array.from(await preprocess(grey, AS_IS))).toEqual([1, 2, 1, 2, 1, 2, 3, 4, 3, 4, 3, 4]);
    expect(Array.from(await preprocess(grey, { ...AS_IS, channels: 'grey' }))).toEqual([
      1, 2, 3, 4,
    ]);
  });

  test.each([
    [{ channels: 'grey' }, 'pictures of 3 channels do not fit an extractor for grey pictures'],
    [{ subtract: [1, 2] }, 'values for 2 channels; the network takes 3'],
  ] as const)('%j is refused', async (changes, message) => {
    const options = PreprocessingSchema.parse({ ...AS_IS, ...changes });
    await expect(preprocess(PAIR, options)).rejects.toThrow(message);
  });

  test.each([
    { divide: 0 },
    { divide: [1, 0, 1] },
    { size: 0 },
    { filter: 'nearest' },
    { mean: 1 },
  ])('the schema refuses %j', (changes) => {
    expect(PreprocessingSchema.safeParse({ ...AS_IS, ...changes }).success).toBe(false);
  });
});

describe('sizes', () => {
  /** The formula of tf.image.resize_bilinear, align_corners=False: at = i * from / to, clamped above. */
  test('TensorFlow 1 looks at corners of pixels, without smoothing', async () => {
    const row: Pictures = { shape: [1, 1, 1, 4], data: Uint8Array.of(0, 100, 50, 200) };
    const options = { ...AS_IS, channels: 'grey' } as const;
    const got = await preprocess(row, { ...options, size: 6 });
    // at = 0, 2/3, 4/3, 2, 8/3, 10/3; the last lies beyond the last pixel.
    const expected = [0, 200 / 3, 100 - 50 / 3, 50, 150, 200];
    for (let y = 0; y < 6; y++) {
      expected.forEach((value, x) => {
        expect(got[y * 6 + x]).toBeCloseTo(value, 4);
      });
    }
    expect(Array.from(await preprocess(row, { ...options, size: 2 }))).toEqual([0, 50, 0, 50]);
  });

  test('legacy_tensorflow: rows as columns, values from -1', async () => {
    const plane = Uint8Array.of(0, 128, 64, 255);
    const got = await preprocess({ shape: [1, 1, 2, 2], data: plane }, LEGACY_TENSORFLOW);
    expect(got).toHaveLength(3 * 299 * 299);
    const at = (y: number, x: number) => got[y * 299 + x]!;
    expect(at(0, 0)).toBe(-1);
    expect(at(298, 298)).toBe(127 / 128);
    // A quarter down and half a pixel right: y = 75 * 2/299, x = 100 * 2/299.
    const [y, x] = [(75 * 2) / 299, (100 * 2) / 299];
    const value = (1 - y) * x * 128 + y * ((1 - x) * 64 + x * 255);
    expect(at(75, 100)).toBeCloseTo((value - 128) / 128, 6);
  });

  test.each(['bilinear', 'bicubic', 'lanczos3'] as const)(
    '%s smooths before it shrinks',
    async (filter) => {
      // Stripes of one pixel: 8 by 8 to 2 by 2 is their mean, where four neighbours would see one stripe.
      const stripes = Uint8Array.from({ length: 64 }, (_, i) => (i % 2 === 0 ? 0 : 200));
      const options = { ...AS_IS, channels: 'grey', size: 2, filter } as const;
      const got = await preprocess({ shape: [1, 1, 8, 8], data: stripes }, options);
      for (const value of got) expect(Math.abs(value - 100)).toBeLessThan(16);
    },
  );

  test('pictures of the size already are left as they are', async () => {
    const data = Uint8Array.from({ length: 9 }, (_, i) => 28 * i);
    const options = { ...AS_IS, channels: 'grey', size: 3, filter: 'lanczos3' } as const;
    expect(Array.from(await preprocess({ shape: [1, 1, 3, 3], data }, options))).toEqual([...data]);
  });
});

test('samples become bytes as before FID: cut off, not rounded', () => {
  const samples = Float32Array.of(-1.5, -1, -0.998, 0, 0.99, 1, 7);
  expect(Array.from(toPictures(samples, [1, 1, 1, 7]).data)).toEqual([0, 0, 0, 128, 254, 255, 255]);
  expect(() => toPictures(Float32Array.of(0, Number.NaN), [1, 1, 1, 2])).toThrow('value 1 is NaN');
});
