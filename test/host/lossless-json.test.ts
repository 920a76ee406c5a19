import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseLossless, stringifyLossless } from '../../src/host/lossless-json.ts';

test.each([
  ['18446744073709551615', 18446744073709551615n],
  ['-9007199254740993', -9007199254740993n],
  ['9007199254740991', 9007199254740991],
  ['1e20', 1e20],
  ['"18446744073709551615"', '18446744073709551615'],
  ['"a\\"18446744073709551615"', 'a"18446744073709551615'],
  ['{"18446744073709551615": [0.5]}', { '18446744073709551615': [0.5] }],
])('reads %s', (text, value) => {
  expect(parseLossless(text)).toEqual(value);
});

test('what is not JSON is refused as JSON.parse refuses it', () => {
  expect(() => parseLossless('{"a": 18446744073709551615,}')).toThrow(SyntaxError);
});

test('any JSON with any integers comes back', () => {
  const integers = fc.bigInt({ min: -(2n ** 70n), max: 2n ** 70n }).map((value) => {
    const isSafe = Number.isSafeInteger(Number(value));
    return isSafe ? Number(value) : value;
  });
  const { json } = fc.letrec((tie) => ({
    json: fc.oneof(
      { depthSize: 'small' },
      integers,
      fc.jsonValue().filter((value) => !Object.is(value, -0)),
      fc.array(tie('json')),
      fc.record({ 'a "key"': tie('json') }),
    ),
  }));
  fc.assert(
    fc.property(json, (value) => {
      const text = stringifyLossless(value);
      expect(parseLossless(text)).toEqual(parseLossless(stringifyLossless(parseLossless(text))));
      expect(stringifyLossless(parseLossless(text))).toBe(text);
    }),
  );
});
