/**
 * @file Objects of many parts that hold memory outside of JavaScript's, made whole or not at all: when a device has no
 * room for the last part, the others are given back, so that something smaller can be tried in the same process.
 */

/** The parts made so far, of each object that is being made. */
const unfinished: Disposable[][] = [];

/** Notes a part as made. */
export function noteMade(part: Disposable): void {
  unfinished.at(-1)?.push(part);
}

/** What `make` returns; when it throws, what it made is disposed of, the last first. */
export function whole<T>(make: () => T): T {
  const made: Disposable[] = [];
  unfinished.push(made);
  try {
    const result = make();
    unfinished.at(-2)?.push(...made);
    return result;
  } catch (error) {
    for (const part of made.toReversed()) part[Symbol.dispose]();
    throw error;
  } finally {
    unfinished.pop();
  }
}
