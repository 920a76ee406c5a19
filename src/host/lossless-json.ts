/** @file JSON in which whole numbers above 2^53 stay what they are: seeds of ComfyUI run to 2^64, and JSON.parse rounds them. */

/** Marks a number while it passes through JSON.parse and JSON.stringify as a string. */
const MARK = '\0integer:';

const STRING_OR_NUMBER = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?/g;

/** As JSON.parse, but integers that a number cannot hold become bigints. */
export function parseLossless(text: string): unknown {
  const marked = text.replace(STRING_OR_NUMBER, (token) =>
    /^-?\d+$/.test(token) && !Number.isSafeInteger(Number(token))
      ? JSON.stringify(MARK + token)
      : token,
  );
  return JSON.parse(marked, (_, value: unknown) =>
    typeof value === 'string' && value.startsWith(MARK) ? BigInt(value.slice(MARK.length)) : value,
  );
}

/** As JSON.stringify with an indent of two, but bigints are written as whole numbers. */
export function stringifyLossless(json: unknown): string {
  const text = JSON.stringify(
    json,
    (_, value: unknown) => (typeof value === 'bigint' ? `${MARK}${value}` : value),
    2,
  );
  return text.replace(/"\\u0000integer:(-?\d+)"/g, '$1');
}
