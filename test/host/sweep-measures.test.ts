/** What sweeps read of the reports that nodes make. */
import { describe, expect, test } from 'vitest';
import { measureReport } from '../../src/host/sweep/measure-report.ts';

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
