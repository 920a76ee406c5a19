/** @file Finds what JSON.parse hides: an object that has the same key twice. */

/** The first key that some object in `json` has twice, or undefined; `json` must already be known to parse. */
export function findDuplicateKey(json: string): string | undefined {
  // One entry for each open bracket: the keys seen so far in an object, null in an array.
  const open: (Set<string> | null)[] = [];
  let isKeyNext = false;
  for (let i = 0; i < json.length; i++) {
    switch (json[i]) {
      case '{':
        open.push(new Set());
        isKeyNext = true;
        break;
      case '[':
        open.push(null);
        isKeyNext = false;
        break;
      case '}':
      case ']':
        open.pop();
        isKeyNext = false;
        break;
      case ',':
        isKeyNext = open.at(-1) instanceof Set;
        break;
      case '"': {
        const end = endOfString(json, i);
        const keys = open.at(-1);
        if (isKeyNext && keys) {
          // Parsed, since "a" and "\u0061" are the same key.
          const key: string = JSON.parse(json.slice(i, end + 1));
          if (keys.has(key)) return key;
          keys.add(key);
        }
        isKeyNext = false;
        i = end;
        break;
      }
    }
  }
  return undefined;
}

/** Index of the quote that closes the string opened at `start`. */
function endOfString(json: string, start: number): number {
  let i = start + 1;
  while (json[i] !== '"') i += json[i] === '\\' ? 2 : 1;
  return i;
}
