/** Every golden case must have a test. */
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { goldenCases } from './support/golden.ts';

const TESTS = readdirSync(fileURLToPath(new URL('.', import.meta.url)), { recursive: true })
  .map(String)
  .flatMap((path) => /(?:^|[\\/])golden-(.+)\.test\.ts$/.exec(path)?.slice(1) ?? []);

describe('golden cases', () => {
  test.for(goldenCases())('$name has a test of its kind', ({ kind }) => {
    expect(TESTS).toContain(kind);
  });
});
