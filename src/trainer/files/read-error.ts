/** @file One way to say that a file could not be read. */
import { FlowstepError } from '../../errors.ts';

/** What reading `path` threw, as FILE_NOT_FOUND or FILE_UNREADABLE; a FlowstepError passes through. */
export function readError(path: string, thrown: unknown): FlowstepError {
  if (thrown instanceof FlowstepError) return thrown;
  const code = thrown instanceof Error && 'code' in thrown ? String(thrown.code) : '';
  if (code === 'ENOENT' || code === 'ENOTDIR') {
    return new FlowstepError('FILE_NOT_FOUND', `${path}: no such file`, {
      file: path,
      cause: thrown,
    });
  }
  const why = thrown instanceof Error ? thrown.message : String(thrown);
  return new FlowstepError('FILE_UNREADABLE', `${path}: cannot be read (${why})`, {
    file: path,
    cause: thrown,
  });
}
