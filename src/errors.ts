/** @file The one error type of the product. Every error says who must act (kind), what happened (code, message) and what to do (hint). */

/** Who must act: the user (input), nobody or the operator (disk, device, network), or we (a broken invariant). */
export type ErrorKind = 'user' | 'operational' | 'bug';

/** Every stable code with its kind. Codes are part of the interface: they may be added, never renamed. */
export const ERROR_CODES = {
  USAGE: 'user',
  FILE_NOT_FOUND: 'user',
  FILE_FORMAT: 'user',
  FILE_UNREADABLE: 'operational',
  FILE_UNWRITABLE: 'operational',
  SHAPE_MISMATCH: 'user',
  VALUE_OUT_OF_RANGE: 'user',
  UNKNOWN_KEY: 'user',
  UNKNOWN_NODE: 'user',
  WORKFLOW_INVALID: 'user',
  MODEL_INVALID: 'user',
  DATASET_INVALID: 'user',
  OPERATOR_UNSUPPORTED: 'user',
  NON_FINITE_LOSS: 'operational',
  DIVERGED: 'operational',
  RUN_LOCKED: 'operational',
  RUN_EXISTS: 'user',
  RUN_MISMATCH: 'user',
  CHECKPOINT_INVALID: 'user',
  LIBRARY_NOT_FOUND: 'operational',
  DEVICE_UNAVAILABLE: 'operational',
  ENGINE: 'operational',
  OUT_OF_MEMORY: 'operational',
  INTERRUPTED: 'operational',
  PROTOCOL_VERSION: 'user',
  MESSAGE_INVALID: 'user',
  MESSAGE_TOO_LARGE: 'user',
  HELLO_MISSING: 'user',
  UNAUTHORISED: 'user',
  HOST_REFUSED: 'user',
  ORIGIN_REFUSED: 'user',
  UNKNOWN_EXECUTION: 'user',
  EXECUTION_EXISTS: 'user',
  QUEUE_FULL: 'operational',
  CLIENT_TOO_SLOW: 'operational',
  SERVER_STOPPING: 'operational',
  LISTEN_FAILED: 'operational',
  REDIS_UNAVAILABLE: 'operational',
  INTERNAL: 'bug',
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof ERROR_CODES;

/** One thing that is wrong in a larger input (a workflow, say), so that all can be reported at once. */
export interface Issue {
  readonly message: string;
  readonly node?: string;
  readonly field?: string;
}

export interface ErrorDetails {
  /** What the reader should do next. */
  readonly hint?: string;
  readonly file?: string;
  readonly node?: string;
  readonly field?: string;
  readonly issues?: readonly Issue[];
  readonly cause?: unknown;
}

/** An error with a stable code; `details` name the file, node or field concerned. */
export class FlowstepError extends Error {
  override readonly name = 'FlowstepError';
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.details = details;
  }

  get kind(): ErrorKind {
    return ERROR_CODES[this.code];
  }

  get hint(): string | undefined {
    return this.details.hint;
  }
}

/** An invariant of our own that does not hold: never the user's fault. */
export function bug(message: string): FlowstepError {
  return new FlowstepError('INTERNAL', `internal: ${message}`);
}

/** Any thrown value as a FlowstepError; what is unknown becomes a bug with its cause kept. */
export function asFlowstepError(thrown: unknown): FlowstepError {
  if (thrown instanceof FlowstepError) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new FlowstepError('INTERNAL', `internal: ${message}`, { cause: thrown });
}
