/** @file Messages for people. They go to stderr, as stdout belongs to results. */

/** Where text goes; process.stdout and process.stderr are such. */
export interface TextSink {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

export interface Log {
  /** A line of its own. */
  line(text: string): void;
  /** Shows the text in place of the last `status`, until the next line. Nothing without a terminal. */
  status(text: string): void;
}

/** For terminals that do not know their width, or say 0. */
const DEFAULT_COLUMNS = 80;
const CLEAR_LINE = '\r\u001b[K';

export function createLog(sink: TextSink): Log {
  let hasStatus = false;
  return {
    line(text) {
      sink.write(`${hasStatus ? CLEAR_LINE : ''}${text}\n`);
      hasStatus = false;
    },
    status(text) {
      if (!sink.isTTY) return;
      // A line that wraps cannot be cleared.
      const width = (sink.columns || DEFAULT_COLUMNS) - 1;
      sink.write(`${CLEAR_LINE}${text.slice(0, width)}`);
      hasStatus = text !== '';
    },
  };
}
