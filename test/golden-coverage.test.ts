/** Every golden case must have a test; those of kinds that are not built yet are reported as skipped. */
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { goldenCases } from './support/golden.ts';

const TESTS = readdirSync(fileURLToPath(new URL('.', import.meta.url)), { recursive: true })
  .map(String)
  .flatMap((path) => /(?:^|[\\/])golden-(.+)\.test\.ts$/.exec(path)?.slice(1) ?? []);

describe('golden cases', () => {
  test.for(goldenCases())('$name has a test of its kind', ({ kind }, context) => {
    context.skip(!TESTS.includes(kind), `kind ${kind} not built yet`);
    expect(TESTS).toContain(kind);
  });
});
