/** @file Nested data as lines for people: names on the left, lists of things a line each. */

/** Longer lists are cut; --json has all. */
const MAX_LINES = 40;
/** Longer texts, such as JSON in metadata, are cut. */
const MAX_TEXT = 120;

/** Lines of the members that are there, in order. */
export function factLines(facts: object, indent = ''): string[] {
  const entries = Object.entries(facts).filter(([, value]) => value !== undefined);
  const width = Math.max(0, ...entries.filter(([, v]) => isPlain(v)).map(([k]) => words(k).length));
  return entries.flatMap(([key, value]) => {
    const name = words(key);
    if (isPlain(value)) return [`${indent}${name.padEnd(width)}  ${cut(text(value))}`];
    const lines = Array.isArray(value) ? listLines(value) : factLines(value);
    return lines.length === 0 ? [] : [`${indent}${name}`, ...lines.map((l) => `${indent}  ${l}`)];
  });
}

function listLines(list: readonly unknown[]): string[] {
  const lines = list.slice(0, MAX_LINES).map((item) => cut(text(item)));
  const more = list.length - lines.length;
  return more > 0 ? [...lines, `... and ${more} more (--json has all)`] : lines;
}

/** A value that stands on the line of its name. */
function isPlain(value: unknown): boolean {
  if (Array.isArray(value)) return value.every((item) => typeof item !== 'object');
  return typeof value !== 'object' || value === null;
}

function text(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? 'none' : `[${value.map(text).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return String(value);
  const members = Object.values(value).filter((member) => member !== undefined);
  return members
    .map((member) => (isPlain(member) ? text(member) : JSON.stringify(member)))
    .join('  ');
}

/** `sampleShape` -> `sample shape`; names from files (`net.0.weight`, `ss_steps`) stay as they are. */
function words(key: string): string {
  return /^[a-z]+([A-Z][a-z]*)+$/.test(key)
    ? key.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)
    : key;
}

function cut(line: string): string {
  return line.length > MAX_TEXT ? `${line.slice(0, MAX_TEXT - 3)}...` : line;
}
