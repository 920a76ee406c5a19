import { expect, test } from 'vitest';
import { fillPrefix } from '../../src/nodes/filename-prefix.ts';

const values = { width: 640, height: 48, batch: 3, now: new Date(2031, 1, 4, 9, 5, 7) };

test.each([
  ['plain', 'plain'],
  ['%width%x%height%', '640x48'],
  ['%year%/%month%-%day%/a', '2031/02-04/a'],
  ['%hour%%minute%%second%', '090507'],
  ['a_%batch_num%', 'a_3'],
  ['%date:yyyy-MM-dd%/x', '2031-02-04/x'],
  ['%date:yy.M.d h-m-s%', '31.2.4 9-5-7'],
  ['%date:hhmmss%', '090507'],
  ['%width%%width%', '640640'],
  ['100%', '100%'],
  ['%unknown%', '%unknown%'],
  ['%constructor%', '%constructor%'],
  ['%KSampler.seed%', '%KSampler.seed%'],
])('%j becomes %j', (prefix, expected) => {
  expect(fillPrefix(prefix, values)).toBe(expected);
});
