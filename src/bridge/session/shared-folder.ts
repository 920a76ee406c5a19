/** @file Tensors as files between processes of one machine, in a folder that only this user can enter. */
import { constants } from 'node:fs';
import { type FileHandle, mkdtemp, open, realpath, rm, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { FlowstepError } from '../../errors.ts';
import { bytesOf, type WireTensor } from '../protocol/tensors.ts';

/** Others may not read or write. Windows has no such bits; the folder is in the user's own there. */
const OTHERS = 0o077;
const PRIVATE = 0o600;

export class SharedFolder {
  /** Absolute, without links. */
  readonly path: string;
  readonly #written = new Map<string, Set<string>>();
  #count = 0;

  private constructor(path: string) {
    this.path = path;
  }

  /** A new folder with mode 0700, in the system's folder for temporary files. */
  static async create(): Promise<SharedFolder> {
    return new SharedFolder(await realpath(await mkdtemp(join(tmpdir(), 'flowstep-'))));
  }

  /** Writes a tensor for the client of execution `key`, who unlinks the file; gives its path. */
  async write(key: string, tensor: WireTensor): Promise<string> {
    const file = join(this.path, `server-${this.#count++}`);
    const files = this.#written.get(key) ?? new Set();
    this.#written.set(key, files.add(file));
    const handle = await open(file, 'wx', PRIVATE);
    await handle.writeFile(bytesOf(tensor)).finally(() => handle.close());
    return file;
  }

  /** The bytes of a file that a client wrote, which is unlinked; throws MESSAGE_INVALID unless it is one of `byteLength`. */
  async take(file: string, byteLength: number): Promise<ArrayBuffer> {
    const real = await realpath(file).catch((cause) => refuse('cannot be read', cause));
    if (dirname(real) !== this.path) refuse('is not in the shared folder');
    const handle = await open(real, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0)).catch(
      (cause) => refuse('cannot be read', cause),
    );
    try {
      await requirePrivateFile(handle, byteLength);
      return await readAll(handle, byteLength);
    } finally {
      await handle.close();
      await unlink(real).catch(() => undefined);
    }
  }

  /** Removes what the client of an execution has not taken. */
  async release(key: string): Promise<void> {
    const files = this.#written.get(key) ?? [];
    this.#written.delete(key);
    await Promise.all([...files].map((file) => rm(file, { force: true })));
  }

  async remove(): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
  }
}

async function requirePrivateFile(handle: FileHandle, byteLength: number): Promise<void> {
  const { size, mode, nlink, uid } = await handle.stat().then((stat) => {
    if (!stat.isFile()) refuse('is not a file');
    return stat;
  });
  // A link to somebody else's file would show the node what this user may not read.
  if (nlink !== 1 || (process.getuid && uid !== process.getuid())) refuse('is not only its own');
  if (process.platform !== 'win32' && (mode & OTHERS) !== 0) refuse('can be read by others');
  if (size !== byteLength) refuse(`has ${size} bytes, its tensor ${byteLength}`);
}

async function readAll(handle: FileHandle, byteLength: number): Promise<ArrayBuffer> {
  const buffer = new ArrayBuffer(byteLength);
  const bytes = new Uint8Array(buffer);
  let done = 0;
  while (done < byteLength) {
    const { bytesRead } = await handle.read(bytes, done, byteLength - done, done);
    if (bytesRead === 0) refuse('was cut while it was read');
    done += bytesRead;
  }
  return buffer;
}

function refuse(what: string, cause?: unknown): never {
  throw new FlowstepError('MESSAGE_INVALID', `the file of a tensor ${what}`, {
    hint: 'Write each tensor to a file of its own with mode 0600 in the folder that hello names.',
    ...(cause !== undefined && { cause }),
  });
}
