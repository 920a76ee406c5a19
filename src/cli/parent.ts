/** @file The pipe from the process that started this one: it brings the token, and its end says that the parent is gone. */
import type { Readable } from 'node:stream';
import { FlowstepError } from '../errors.ts';

/** A token is far shorter. */
const MAX_LINE = 4096;

export interface Parent {
  /** What came up to the first line break; throws USAGE when that is nothing. */
  firstLine(): Promise<string>;
  /** Fulfilled when the pipe ends. */
  readonly gone: Promise<void>;
}

/** Reads `pipe` to its end; only the first line is kept. */
export function readParent(pipe: Readable): Parent {
  const gone = new Promise<void>((resolve) => {
    for (const event of ['end', 'close', 'error']) pipe.once(event, () => resolve());
  });
  const firstLine = new Promise<string>((resolve) => {
    let text = '';
    pipe.setEncoding('utf8').on('data', (part: string) => {
      if (text.length < MAX_LINE) text += part;
      if (text.includes('\n') || text.length >= MAX_LINE) resolve(text);
    });
    void gone.then(() => resolve(text));
  });
  return { firstLine: async () => lineOf(await firstLine), gone };
}

function lineOf(text: string): string {
  const line = text.split(/\r?\n/, 1)[0] ?? '';
  if (line !== '') return line;
  throw new FlowstepError('USAGE', 'no token came on stdin', {
    hint: 'Write the token and a line break to stdin, and keep it open.',
  });
}
