/**
 * docs/cli.md names every command and option. Its part below the mark is made from the program:
 * `npx vitest run test/cli/reference.test.ts -u` writes it anew.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { commandReference, theProgram } from './reference.ts';
import { callCli } from './support.ts';

const MARK = '<!-- Below this line: made by test/cli/reference.test.ts -->';
const page = fileURLToPath(new URL('../../docs/cli.md', import.meta.url));

test('the reference is that of the program', async () => {
  const [byHand, ...rest] = readFileSync(page, 'utf8').split(MARK);
  expect(rest, 'docs/cli.md has the mark once').toHaveLength(1);
  const wanted = `${byHand}${MARK}\n\n${commandReference(theProgram())}\n`;
  await expect(wanted).toMatchFileSnapshot(page);
});

test('the table of commands names each command once', () => {
  const table = readFileSync(page, 'utf8').split(MARK)[0]!;
  const named = [...table.matchAll(/^\| \[`(\w+)`\]\(#(\w+)\) \|/gm)].map(([, name]) => name);
  expect(named).toEqual(theProgram().commands.map((command) => command.name()));
});

test.each(theProgram().commands.map((command) => command.name()))(
  '`flowstep %s --help` leads with examples',
  async (name) => {
    const { code, stdout, stderr } = await callCli([name, '--help']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(new RegExp(`^Examples:\n {2}flowstep ${name}`));
    expect(stdout).toContain('Usage: flowstep');
  },
);

test.each([
  [['--version', '--verbose'], 0, ''],
  [['trian'], 2, '(Did you mean train?)'],
  [['train', '--bach', '4'], 2, '(Did you mean --batch?)'],
  [['distill', '--teacher', 'x', '--online-update', '4'], 2, '(Did you mean --online-updates?)'],
  [['resume', 'x', '--step', '4'], 2, '(Did you mean --steps?)'],
  [['inspect', 'x', '--jsn'], 2, '(Did you mean --json?)'],
  [['verify', 'x', '--jsn'], 2, '(Did you mean --json?)'],
  [['doctor', '--jsn'], 2, '(Did you mean --json?)'],
])('%j exits with %i', async (args, exitCode, suggestion) => {
  const { code, stderr } = await callCli(args);
  expect(code).toBe(exitCode);
  expect(stderr).toContain(suggestion);
});
