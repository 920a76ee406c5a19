import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { canonicalJson } from '../../../src/trainer/files/canonical-json.ts';

/** The value with its keys in reverse order at every depth. */
function turned(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(turned);
  if (typeof value !== 'object' || value === null) return value;
  const members = Object.entries(value).map(([key, member]) => [key, turned(member)] as const);
  return Object.fromEntries(members.reverse());
}

describe('canonical JSON', () => {
  test('sorts keys at every depth and drops undefined members', () => {
    const value = { b: [{ z: 1, y: 'é"' }, null], a: { d: true, c: undefined }, B: -0.5 };
    expect(canonicalJson(value)).toBe('{"B":-0.5,"a":{"d":true},"b":[{"y":"é\\"","z":1},null]}');
  });

  test('says the same value, and is one text whatever the order of keys', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const text = canonicalJson(value);
        expect(canonicalJson(JSON.parse(text))).toBe(text);
        expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)));
        expect(canonicalJson(turned(value))).toBe(text);
      }),
      { seed: 11 },
    );
  });

  test.each([
    ['NaN', Number.NaN],
    ['Infinity', { a: [Number.POSITIVE_INFINITY] }],
    ['a bigint', { a: 1n }],
    ['a function', [() => 1]],
    ['undefined in a list', [undefined]],
  ])('refuses %s', (_, value) => {
    expect(() => canonicalJson(value)).toThrow(/cannot be written as JSON/);
  });
});
