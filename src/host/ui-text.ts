/** @file What the front end does to texts when a graph is queued: choices in prompts, values and dates in file names. */

/** What a conversion takes from outside of the file. */
export interface Moment {
  readonly now: Date;
  /** From 0 to below 1, as Math.random. */
  random(): number;
}

const COMMENT = /\/\*[\s\S]*?\*\/|\/\/.*/g;

/** A prompt without comments, one of each {a|b|{c|d}} chosen, and `\{`, `\|`, `\}` as plain characters. */
export function resolvePrompt(text: string, random: Moment['random']): string {
  const characters = [...text.replace(COMMENT, '')];
  let at = 0;

  /** Reads up to the end, or to the brace that closes the block. */
  function read(isBlock: boolean): string {
    const choices = [''];
    for (; at < characters.length; at++) {
      let part = characters[at]!;
      const next = characters[at + 1];
      if (part === '\\' && next !== undefined && '{|}'.includes(next)) {
        part = next;
        at++;
      } else if (part === '{') {
        at++;
        part = read(true);
      } else if (isBlock && part === '}') {
        break;
      } else if (isBlock && part === '|') {
        choices.push('');
        continue;
      }
      choices[choices.length - 1] += part;
    }
    return choices[Math.floor(random() * choices.length)]!;
  }
  return read(false);
}

/** Characters that some file system refuses. */
const NOT_IN_FILE_NAMES = /[/?<>\\:*|"\p{Cc}]/gu;

/**
 * Fills in %date:FORMAT% and %Node.widget%; `find` gives the widget's value, or undefined.
 * %width% and %height% are left to the node that saves.
 */
export function replaceInText(
  text: string,
  now: Date,
  find: (node: string, widget: string) => unknown,
): string {
  return text.replace(/%([^%]+)%/g, (whole, inner: string) => {
    const [node, widget, ...rest] = inner.split('.');
    if (widget === undefined || rest.length > 0) {
      return inner.startsWith('date:') ? formatDate(inner.slice('date:'.length), now) : whole;
    }
    const value = find(node!, widget);
    return value === undefined ? whole : String(value ?? '').replace(NOT_IN_FILE_NAMES, '_');
  });
}

/** Tokens are d, M, h, m, s (doubled: two digits), yy and yyyy; hours run to 23. */
function formatDate(format: string, date: Date): string {
  const parts: Readonly<Record<string, number>> = {
    d: date.getDate(),
    M: date.getMonth() + 1,
    h: date.getHours(),
    m: date.getMinutes(),
    s: date.getSeconds(),
  };
  return format.replace(/yyyy|yy|([dMhms])\1?/g, (token, letter: string | undefined) => {
    if (letter === undefined) return String(date.getFullYear()).slice(-token.length);
    return String(parts[letter]).padStart(token.length, '0');
  });
}
