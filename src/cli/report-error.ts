/** @file Errors as people and as programs read them, and the exit code they lead to. */
import type { ErrorCode, FlowstepError, Issue } from '../errors.ts';

export const EXIT_OK = 0;
export const EXIT_FAILURE = 1;
export const EXIT_USAGE = 2;
/** 128 + SIGINT, as shells have it. */
export const EXIT_INTERRUPTED = 130;

/** The command has printed what is wrong; nothing but the exit code is left to give. */
export class CommandFailed extends Error {}

export function exitCodeOf(code: ErrorCode): number {
  switch (code) {
    case 'USAGE':
      return EXIT_USAGE;
    case 'INTERRUPTED':
      return EXIT_INTERRUPTED;
    default:
      return EXIT_FAILURE;
  }
}

/** What, where and what to do, one line each; defects of our own come with their stack. */
export function errorText(error: FlowstepError): string {
  const { details } = error;
  const file = details.file !== undefined && !error.message.includes(details.file);
  const lines = [
    error.code === 'INTERRUPTED' ? error.message : `error ${error.code}: ${error.message}`,
    ...(details.issues ?? []).map((issue) => `  ${issueText(issue)}`),
  ];
  if (file) lines.push(`file: ${details.file}`);
  if (details.hint !== undefined) lines.push(`hint: ${details.hint}`);
  if (error.kind === 'bug') {
    lines.push('This is a defect of flowstep; please report it with these lines:');
    lines.push(String(origin(error).stack));
  }
  return lines.join('\n');
}

/** What was thrown first: errors are wrapped on their way up. */
function origin(error: Error): Error {
  return error.cause instanceof Error ? origin(error.cause) : error;
}

function issueText({ node, field, message }: Issue): string {
  const where = [node && `node ${node}`, field].filter(Boolean).join(', ');
  return where === '' ? message : `${where}: ${message}`;
}

/** The same as JSON. */
export function errorJson(error: FlowstepError): object {
  const { hint, file, node, field, issues } = error.details;
  return { code: error.code, message: error.message, hint, file, node, field, issues };
}
