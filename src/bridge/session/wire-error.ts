/** @file Errors as they travel. */
import { asFlowstepError, type ErrorCode, FlowstepError } from '../../errors.ts';
import type { Problem } from '../protocol/decode.ts';
import type { ErrorMessage } from '../protocol/messages.ts';

/** What goes away by waiting; any other request fails the same way again. */
const RETRYABLE: ReadonlySet<ErrorCode> = new Set([
  'QUEUE_FULL',
  'RUN_LOCKED',
  'SERVER_STOPPING',
  'CLIENT_TOO_SLOW',
]);

/** Seq of an error that answers a request which made no execution. */
export const REFUSED = 0;

export function isRetryable(code: ErrorCode): boolean {
  return RETRYABLE.has(code);
}

/** Any thrown value as a message; `at` names the execution it is about. */
export function errorMessage(
  thrown: unknown,
  at: { readonly key?: string; readonly seq?: number } = {},
): ErrorMessage {
  const { code, message, details } = asFlowstepError(thrown);
  const { hint, file, node, field, issues } = details;
  return {
    type: 'error',
    ...at,
    code,
    message,
    hint,
    file,
    node,
    field,
    issues: issues && [...issues],
    retryable: isRetryable(code),
  };
}

/** What to do about a message that cannot be read. */
const HINTS: Partial<Record<ErrorCode, string>> = {
  PROTOCOL_VERSION: 'Install the same version of Flowstep on both sides.',
  MESSAGE_INVALID: 'docs/protocol.md has every message with its members.',
  MESSAGE_TOO_LARGE: 'Send tensors in chunks; the limits are in hello.',
};

/** The error that a problem stands for. */
export function problemError({ code, message }: Problem): FlowstepError {
  const hint = HINTS[code];
  return new FlowstepError(code, message, hint === undefined ? {} : { hint });
}
