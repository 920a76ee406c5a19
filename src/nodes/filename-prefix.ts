/** @file What ComfyUI fills in for %...% in the names of saved files. */

/** What the placeholders stand for. */
export interface PrefixValues {
  /** Pixels. */
  readonly width: number;
  readonly height: number;
  /** Number of the picture in its batch. */
  readonly batch: number;
  /** Shown as local time. */
  readonly now: Date;
}

type DatePart = (date: Date) => number;

const DATE_PARTS: Readonly<Record<string, DatePart>> = {
  year: (date) => date.getFullYear(),
  month: (date) => date.getMonth() + 1,
  day: (date) => date.getDate(),
  hour: (date) => date.getHours(),
  minute: (date) => date.getMinutes(),
  second: (date) => date.getSeconds(),
};

/** Letters of `%date:FORMAT%`, by which ComfyUI's front end names the same parts. */
const FORMAT_LETTERS: Readonly<Record<string, DatePart | undefined>> = {
  M: DATE_PARTS['month'],
  d: DATE_PARTS['day'],
  h: DATE_PARTS['hour'],
  m: DATE_PARTS['minute'],
  s: DATE_PARTS['second'],
};

/**
 * The prefix with %width%, %height%, %year%, %month%, %day%, %hour%, %minute%, %second%,
 * %batch_num% and %date:yyyy-MM-dd% filled in; any other text between % stays as it is.
 */
export function fillPrefix(prefix: string, { width, height, batch, now }: PrefixValues): string {
  const values: Record<string, string> = {
    width: String(width),
    height: String(height),
    batch_num: String(batch),
  };
  for (const [name, part] of Object.entries(DATE_PARTS)) values[name] = padded(part(now), 2);
  return prefix
    .replace(/%date:([^%]+)%/g, (_, format: string) => formatDate(format, now))
    .replace(/%(\w+)%/g, (found, name: string) =>
      Object.hasOwn(values, name) ? values[name]! : found,
    );
}

/** As the front end does: yy or yyyy, and one or two letters for the other parts. */
function formatDate(format: string, now: Date): string {
  return format.replace(/yyyy|yy|MM?|dd?|hh?|mm?|ss?/g, (letters) => {
    if (letters.startsWith('y')) return String(now.getFullYear()).slice(-letters.length);
    const part = FORMAT_LETTERS[letters[0] ?? ''];
    return part ? padded(part(now), letters.length) : letters;
  });
}

function padded(value: number, length: number): string {
  return String(value).padStart(length, '0');
}
