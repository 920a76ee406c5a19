import { describe, expect, test } from 'vitest';
import { fineDetailGap, powerSpectrum } from '../../../src/trainer/metrics/power-spectrum.ts';
import { noiseOf } from '../../support/tiny-models.ts';

const SIDE = 8;

const wave = (cycles: number) =>
  Float32Array.from({ length: SIDE * SIDE }, (_, i) =>
    Math.cos((2 * Math.PI * cycles * (i % SIDE)) / SIDE),
  );

describe('a power spectrum', () => {
  test.each([1, 2, 3])('of %i waves across the picture is at that frequency', (cycles) => {
    const spectrum = powerSpectrum(wave(cycles), [1, 1, SIDE, SIDE]);
    const share = spectrum[cycles - 1]! / spectrum.reduce((a, b) => a + b);
    expect(share).toBeCloseTo(1, 10);
  });

  test('of white noise is its variance at every frequency', () => {
    const noise = noiseOf([4000, 1, SIDE, SIDE]).data.map((x) => 3 * x);
    for (const power of powerSpectrum(noise, [4000, 1, SIDE, SIDE])) {
      expect(power).toBeGreaterThan(8.7);
      expect(power).toBeLessThan(9.3);
    }
  });

  test('agrees with the sum over all pixels (Parseval)', () => {
    const { data } = noiseOf([1, 1, SIDE, SIDE]);
    // Pixels whose frequencies all count: a wave along each axis and one along the diagonal.
    const direct = (k: number, l: number) => {
      let [re, im] = [0, 0];
      for (let y = 0; y < SIDE; y++) {
        for (let x = 0; x < SIDE; x++) {
          const angle = (2 * Math.PI * (k * x + l * y)) / SIDE;
          re += data[y * SIDE + x]! * Math.cos(angle);
          im -= data[y * SIDE + x]! * Math.sin(angle);
        }
      }
      return (re * re + im * im) / SIDE ** 2;
    };
    // Frequencies whose length rounds to 1: the axes and the diagonals.
    const ring = [-1, 0, 1].flatMap((k) => [-1, 0, 1].map((l) => [k, l] as const));
    const powers = ring.filter(([k, l]) => k !== 0 || l !== 0).map(([k, l]) => direct(k, l));
    const mean = powers.reduce((a, b) => a + b) / powers.length;
    expect(powerSpectrum(data, [1, 1, SIDE, SIDE])[0]).toBeCloseTo(mean, 6);
  });

  test.each([
    ['points', [4, 2]],
    ['oblongs', [1, 1, 4, 8]],
    ['nothing', [0, 1, 8, 8]],
  ])('refuses %s', (_title, shape) => {
    expect(() => powerSpectrum(new Float32Array(64), shape)).toThrow(/needs squares/);
  });
});

describe('the gap in fine detail', () => {
  const spectrum = (fine: number) => Float64Array.of(9, 9, fine, fine);

  test('is of the upper half alone, the same for too little and too much', () => {
    expect(fineDetailGap(spectrum(2), spectrum(2))).toBe(0);
    expect(fineDetailGap(spectrum(4), spectrum(2))).toBeCloseTo(Math.LN2, 12);
    expect(fineDetailGap(spectrum(1), spectrum(2))).toBeCloseTo(Math.LN2, 12);
    expect(fineDetailGap(Float64Array.of(1, 5, 2, 2), spectrum(2))).toBe(0);
  });

  test('refuses spectra of other sizes', () => {
    expect(() => fineDetailGap(new Float64Array(4), new Float64Array(5))).toThrow(/4 and 5/);
  });
});
