/** Training in float16 with float32 state, on the processor, which computes it by casts. */
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { expect, test } from 'vitest';

const WORKER = fileURLToPath(new URL('./float16-worker.ts', import.meta.url));
const TSX = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;

function run<T>(...args: string[]): T {
  const { stdout, stderr } = spawnSync(process.execPath, ['--import', TSX, WORKER, ...args], {
    encoding: 'utf8',
  });
  if (stdout === '') throw new Error(stderr);
  return JSON.parse(stdout) as T;
}

type Told = Record<string, number>;

test('losses and gradients of the first steps are those of float32 to 2 %', () => {
  const [right, found] = [run<Told[]>('float32'), run<Told[]>('float16')];
  for (const name of ['loss/online', 'norm/online', 'norm/student']) {
    for (const [step, told] of right.entries()) {
      expect(Math.abs(found[step]![name]! / told[name]! - 1)).toBeLessThan(0.02);
    }
  }
  expect(found).not.toEqual(right);
});

test('steps whose gradient overflows are skipped until the scale fits, and the training goes on', () => {
  const told = run<{ metrics: Told; notFinite?: string }[]>('float16', '0.5');
  expect(told.filter(({ notFinite }) => notFinite)).toEqual([]);
  const norms = told.map(({ metrics }) => metrics['norm/online']!);
  expect(norms[0]).toBe(0);
  expect(norms.at(-1)).toBeGreaterThan(0);
});
