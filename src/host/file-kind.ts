/** @file What a file is, by its content: names and endings are often wrong. */
import { open, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { FlowstepError } from '../errors.ts';
import { isPng } from '../nodes/pictures/png-text.ts';
import { readError } from '../trainer/files/read-error.ts';
import { RUN_FILE } from '../trainer/run/run-file.ts';

export type FileKind = 'run' | 'picture' | 'safetensors' | 'workflow' | 'onnx';

/** Bytes that tell the kind: a PNG's signature, or a safetensors length and the brace behind it. */
const HEAD_BYTES = 64;
const BRACE = 0x7b;

/** The absolute path of what is meant: run.json stands for the folder of its run. */
export function meantPath(path: string): string {
  const file = resolve(path);
  return basename(file) === RUN_FILE ? dirname(file) : file;
}

/** The kind of a file, or of a folder; throws FILE_NOT_FOUND, FILE_UNREADABLE or FILE_FORMAT. */
export async function fileKind(path: string): Promise<FileKind> {
  if (await isFolder(path)) {
    if (await isThere(join(path, RUN_FILE))) return 'run';
    throw new FlowstepError('FILE_FORMAT', `${path} is a folder without ${RUN_FILE}`, {
      file: path,
      hint: 'Name a file, or the folder of a run.',
    });
  }
  const head = await readHead(path);
  if (isPng(head)) return 'picture';
  if (/^\s*[{[]/.test(head.toString('latin1'))) return 'workflow';
  if (head[8] === BRACE || path.endsWith('.safetensors')) return 'safetensors';
  // A protocol buffer has no signature; the first field of an ONNX file is its version, a varint.
  if (head[0] === 0x08 || path.endsWith('.onnx')) return 'onnx';
  throw new FlowstepError('FILE_FORMAT', `${path} is none of the files that are known here`, {
    file: path,
    hint: 'Known are .safetensors, .onnx, workflow JSON, PNG and run folders.',
  });
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    throw readError(path, error);
  }
}

async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

async function readHead(path: string): Promise<Buffer> {
  try {
    await using file = await open(path, 'r');
    const { buffer, bytesRead } = await file.read(Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES, 0);
    return buffer.subarray(0, bytesRead);
  } catch (error) {
    throw readError(path, error);
  }
}
