/** @file What commands may touch of the process, so that tests can give them something else. */
import type { Log, TextSink } from '../log.ts';

export interface Io {
  /** Results. */
  readonly stdout: TextSink;
  /** Messages. */
  readonly log: Log;
  /** True when messages go to a terminal. */
  readonly isTerminal: boolean;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
}

/** Examples stand before the rest of the help: they are what most readers look for. */
export function examples(...lines: readonly string[]): string {
  return `Examples:\n${lines.map((line) => `  ${line}`).join('\n')}\n`;
}
