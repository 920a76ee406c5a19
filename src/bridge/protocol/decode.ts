/** @file Text messages out of what a socket gave: whatever comes, the answer is a message or a coded problem. */
import { z } from 'zod';
import type { ErrorCode } from '../../errors.ts';
import { MAX_PROBLEM_LENGTH, MAX_TEXT_BYTES } from './limits.ts';
import {
  type ClientMessage,
  ClientMessageSchema,
  KeySchema,
  PROTOCOL_VERSION,
  type ServerMessage,
  ServerMessageSchema,
} from './messages.ts';

export interface Problem {
  readonly ok: false;
  readonly code: ErrorCode;
  readonly message: string;
  /** The execution that the message asked for, where that much could be read. */
  readonly key?: string;
}

export type Decoded<Value> = { readonly ok: true; readonly value: Value } | Problem;

/** A problem whose text is cut to a length that can be sent and logged. */
export function problem(code: ErrorCode, message: string): Problem {
  return { ok: false, code, message: message.slice(0, MAX_PROBLEM_LENGTH) };
}

/** Reads what a client sent. */
export function decodeClientMessage(bytes: Uint8Array): Decoded<ClientMessage> {
  return decodeMessage(bytes, ClientMessageSchema);
}

/** Reads what a server sent. */
export function decodeServerMessage(bytes: Uint8Array): Decoded<ServerMessage> {
  return decodeMessage(bytes, ServerMessageSchema);
}

function decodeMessage<Value>(bytes: Uint8Array, schema: z.ZodType<Value>): Decoded<Value> {
  if (bytes.length > MAX_TEXT_BYTES) {
    return problem(
      'MESSAGE_TOO_LARGE',
      `a text message of ${bytes.length} bytes; ${MAX_TEXT_BYTES} are allowed`,
    );
  }
  const json = parseJson(bytes);
  if (!json.ok) return json;
  const other = otherVersion(json.value);
  if (other !== undefined) {
    return problem(
      'PROTOCOL_VERSION',
      `the other side speaks version ${other} of the protocol, this side ${PROTOCOL_VERSION}`,
    );
  }
  const message = schema.safeParse(json.value);
  if (message.success) return { ok: true, value: message.data };
  const key = keyOfExecute(json.value);
  return {
    ...problem('MESSAGE_INVALID', issuesText(message.error)),
    ...(key !== undefined && { key }),
  };
}

/** JSON in UTF-8; `what` names it in the problem. */
export function parseJson(bytes: Uint8Array, what = 'a text message'): Decoded<unknown> {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    return { ok: true, value: JSON.parse(text) };
  } catch {
    return problem('MESSAGE_INVALID', `${what} is not JSON in UTF-8`);
  }
}

/** What does not fit, in one line. */
export function issuesText(error: z.ZodError): string {
  return error.issues
    .map((issue) => `${issue.path.map(String).join('.') || 'message'}: ${issue.message}`)
    .join('; ');
}

/** Looked at before all else, as a `hello` of another version may have other members. */
function otherVersion(json: unknown): number | undefined {
  const hello = z.looseObject({ type: z.literal('hello'), protocol: z.number() }).safeParse(json);
  return hello.success && hello.data.protocol !== PROTOCOL_VERSION
    ? hello.data.protocol
    : undefined;
}

/** So that a client which waits for an execution learns that it was refused. */
function keyOfExecute(json: unknown): string | undefined {
  const execute = z
    .looseObject({ type: z.enum(['execute', 'fingerprint']), key: KeySchema })
    .safeParse(json);
  return execute.success ? execute.data.key : undefined;
}
