import { describe, expect, test } from 'vitest';
import { replaceInText, resolvePrompt } from '../../src/host/ui-text.ts';

/** Always the first choice, or always the last. */
const first = () => 0;
const last = () => 0.999;

describe('prompts', () => {
  test.each([
    ['a {red|blue} cat', 'a red cat', 'a blue cat'],
    ['{a|b {c|d}} e', 'a e', 'b d e'],
    ['{|much} more', ' more', 'much more'],
    ['\\{a\\|b\\}', '{a|b}', '{a|b}'],
    ['a | b }', 'a | b }', 'a | b }'],
    ['{a|b', 'a', 'b'],
    ['back\\slash', 'back\\slash', 'back\\slash'],
    ['one // rest\ntwo /* in\nside */three', 'one \ntwo three', 'one \ntwo three'],
  ])('%j becomes %j or %j', (text, atFirst, atLast) => {
    expect(resolvePrompt(text, first)).toBe(atFirst);
    expect(resolvePrompt(text, last)).toBe(atLast);
  });
});

describe('file names', () => {
  const now = new Date(2026, 2, 4, 15, 6, 7);
  const values: Record<string, unknown> = {
    'KSampler.seed': 5,
    'My node.text': 'a/b:c',
    'N.v': null,
  };
  const find = (node: string, widget: string) => values[`${node}.${widget}`];

  test.each([
    ['%date:yyyy-MM-dd_hhmmss%', '2026-03-04_150607'],
    ['%date:yy-M-d h:m:s%', '26-3-4 15:6:7'],
    ['s%KSampler.seed%_%My node.text%', 's5_a_b_c'],
    ['%N.v%x', 'x'],
    ['%width%x%height%', '%width%x%height%'],
    ['%No.such% %a.b.c% 100%', '%No.such% %a.b.c% 100%'],
  ])('%j becomes %j', (text, expected) => {
    expect(replaceInText(text, now, find)).toBe(expected);
  });
});
