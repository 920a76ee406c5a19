/** `flowstep verify identity`: what it prints, and that it stands beside the files of `verify`. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { tempFolder } from '../support/temp-folder.ts';
import { callCli } from './support.ts';

const QUICK = ['verify', 'identity', '--settings', 'gaussian', '--no-online'];

const ReportSchema = z.object({
  ok: z.boolean(),
  verdict: z.string(),
  settings: z.array(
    z.object({
      name: z.string(),
      rows: z.array(z.object({ what: z.string(), gap: z.number(), margin: z.number() })),
    }),
  ),
});

test('people get a table and a verdict', async () => {
  const { code, stdout } = await callCli(QUICK);
  expect(code).toBe(0);
  const number = '-?\\d+\\.\\d+';
  const lines = stdout.trimEnd().split('\n');
  expect(lines[0]).toBe('gaussian: normal distributions, 131072 points');
  expect(lines[2]).toMatch(
    new RegExp(`^  E u\\.v = E u\\.c +${number} +${number} +${number} \\+- ${number} %  holds$`),
  );
  expect(lines.at(-1)).toBe('verdict: holds');
});

test.each([
  ['after', [...QUICK, '--json']],
  ['before', ['verify', '--json', ...QUICK.slice(1)]],
])('--json %s the name gives one object', async (_, args) => {
  const { code, stdout } = await callCli(args);
  expect(code).toBe(0);
  const { ok, verdict, settings } = ReportSchema.parse(JSON.parse(stdout));
  expect({ ok, verdict }).toEqual({ ok: true, verdict: 'holds' });
  expect(settings.map(({ name }) => name)).toEqual(['gaussian']);
  for (const { gap, margin } of settings[0]!.rows) {
    expect(Math.abs(gap) + margin).toBeLessThan(0.01);
    expect(margin).toBeGreaterThan(0);
  }
});

describe('refuses', () => {
  test.each([
    [['--settings', 'gaussian,mpl'], '"mpl" is not one of gaussian, mixture, mlp, dit.'],
    [['--seed', '-1'], 'whole number'],
    [['--jsn'], '(Did you mean --json?)'],
  ])('%j', async (args, message) => {
    const { code, stderr } = await callCli(['verify', 'identity', ...args]);
    expect(code).toBe(2);
    expect(stderr).toContain(message);
  });
});

test('a file of that name is verified by its path', async () => {
  const folder = await tempFolder();
  await mkdir(folder, { recursive: true });
  const file = join(folder, 'identity');
  await writeFile(file, 'not a model');
  const { code, stdout } = await callCli(['verify', file]);
  expect(code).toBe(1);
  expect(stdout).toContain(`FAILED  ${file}`);
});
