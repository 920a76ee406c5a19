/** @file What a check of `flowstep doctor` tells. */
import { asFlowstepError } from '../errors.ts';

export interface Check {
  readonly name: string;
  /** A warning concerns something that not everybody needs. */
  readonly status: 'ok' | 'warning' | 'problem';
  readonly message: string;
  /** What to do. */
  readonly hint?: string;
}

export function ok(name: string, message: string): Check {
  return { name, status: 'ok', message };
}

/** What was thrown as a check that failed. */
export function failed(name: string, status: 'warning' | 'problem', thrown: unknown): Check {
  const { message, hint } = asFlowstepError(thrown);
  return { name, status, message, ...(hint !== undefined && { hint }) };
}
