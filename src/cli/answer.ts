/** @file How commands answer: text on stdout, or with --json one JSON object, errors too. */
import { asFlowstepError, type FlowstepError } from '../errors.ts';
import type { Io } from './io.ts';
import { errorJson } from './report-error.ts';

/** What --json says in every command's help. */
export const JSON_HELP = 'print the answer as JSON, errors too';

/**
 * Prints what `action` gives, as `{ ok: true, ... }` or as lines. What it throws is printed as
 * `{ ok: false, error }`, and thrown again for the message and the exit code.
 */
export async function answer<Result extends object>(
  io: Io,
  isJson: boolean | undefined,
  action: () => Promise<Result>,
  text: (result: Result) => readonly string[],
): Promise<void> {
  try {
    const result = await action();
    if (isJson) printJson(io, { ok: true, ...result });
    else for (const line of text(result)) io.stdout.write(`${line}\n`);
  } catch (thrown) {
    const error = asFlowstepError(thrown);
    if (isJson) printFailure(io, error);
    throw error;
  }
}

/** Failures that stdout holds; they come by again on their way up. */
const printed = new WeakSet<FlowstepError>();

/** Prints the failure as JSON unless it was printed before: stdout is one document. */
export function printFailure(io: Io, error: FlowstepError): void {
  if (printed.has(error)) return;
  printed.add(error);
  printJson(io, { ok: false, error: errorJson(error) });
}

export function printJson(io: Io, value: unknown): void {
  io.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}
