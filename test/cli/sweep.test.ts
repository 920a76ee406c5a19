/** `flowstep sweep`: what it prints, and how it is told what to do. */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { sweepFile, tinySweep } from '../host/sweep-support.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { callCli, spawnCli } from './support.ts';

const AnswerSchema = z.object({
  ok: z.literal(true),
  files: z.array(z.string()),
  summary: z.array(z.object({ settings: z.record(z.string(), z.unknown()), finished: z.int() })),
});

test('prints a table and the files; a second time nothing runs', async () => {
  const [file, out] = [await sweepFile(tinySweep()), await tempFolder()];
  const first = await callCli(['sweep', file, '--out', out]);
  expect(first.code, first.stderr).toBe(0);
  const lines = first.stdout.trimEnd().split('\n');
  expect(lines.slice(0, 3)).toEqual([
    '| student.t_star | runs | student/energy-distance | student/modes-covered |',
    '|---|---|---|---|',
    expect.stringMatching(/^\| 0\.9 \| 2 \| [\d.]+ \[-?[\d.]+, [\d.]+\] \| /),
  ]);
  expect(lines).toContain(join(out, 'sweeps', 'tiny', 'table.csv'));
  expect(first.stderr).toMatch(
    /^4 rows, 0 of them finished\n\[1\/4\] student\.t_star=0\.9 seed=0: /,
  );

  const second = await callCli(['sweep', file, '--out', out, '--json']);
  expect(second.stderr).toBe('4 rows, 4 of them finished\n');
  const { files, summary } = AnswerSchema.parse(JSON.parse(second.stdout));
  expect(files).toHaveLength(6);
  expect(summary.map(({ settings, finished }) => [settings, finished])).toEqual([
    [{ 'student.t_star': 0.9 }, 2],
    [{ 'student.t_star': 0.97 }, 2],
  ]);
});

test('an unknown option is refused with those that there are, before anything runs', async () => {
  const file = await sweepFile(tinySweep({ grid: { 'student.tstar': [0.9] } }));
  const { code, stderr, stdout } = await callCli(['sweep', file, '--out', await tempFolder()]);
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  expect(stderr).toMatch(/^error UNKNOWN_KEY: .*sweep\.json names what there is not\n {2}grid: /);
  expect(stderr).toMatch(/has no input tstar \(did you mean t_star\?\)\. It has .*lambda1, t_star/);
});

test('a worker without a queue is refused', async () => {
  const file = await sweepFile(tinySweep());
  const { code, stderr } = await callCli(['sweep', file, '--worker']);
  expect(code).toBe(2);
  expect(stderr).toMatch(/--worker needs a queue: REDIS_URL is not set\nhint: .*redis:\/\//);
});

test('a queue that is no Redis is told, and nothing runs here in its place', async () => {
  const file = await sweepFile(tinySweep());
  const environment = { REDIS_URL: 'localhost:6379' };
  const run = await callCli(['sweep', file, '--out', await tempFolder()], environment);
  expect(run.code).toBe(2);
  expect(run.stderr).toMatch(/error USAGE: REDIS_URL is no address of a Redis/);
});

test('Ctrl-C keeps what is there', async () => {
  const [file, cwd] = [
    await sweepFile(tinySweep({ set: { 'student.steps': 200 } })),
    await tempFolder(),
  ];
  const interrupted = await spawnCli(['sweep', file, '--out', 'out', '--threads', '1'], {
    cwd,
    interruptAt: '[1/4]',
  });
  expect(interrupted.code).toBe(130);
  expect(interrupted.stderr).toMatch(
    /hint: .* of 4 rows are finished and kept in .*the same command/,
  );
  const again = await spawnCli(['sweep', file, '--out', 'out', '--threads', '1'], { cwd });
  expect(again.code).toBe(0);
  expect(again.stderr).toMatch(/4 rows, [1-3] of them finished/);
});
