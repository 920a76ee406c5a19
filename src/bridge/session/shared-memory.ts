/**
 * @file Payloads that two processes of one machine hand over in memory: in a file that belongs to their
 * socket and is written again and again, so that its pages are there. The client writes to its first half
 * and the server to its second. It loses its name once both have it open, so that nothing is left however
 * the processes end.
 */
import { randomBytes } from 'node:crypto';
import {
  accessSync,
  closeSync,
  constants,
  ftruncateSync,
  openSync,
  readSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FlowstepError } from '../../errors.ts';
import type { SharedRange } from '../protocol/frame.ts';
import { SHARED_BYTES } from '../protocol/limits.ts';

/** What is here on Linux stays in memory. */
const MEMORY_FOLDER = '/dev/shm';

/** Only this user may open it. */
const PRIVATE = 0o600;

export class SharedMemory {
  /** Of the file, for the client; absolute. */
  readonly path: string;
  readonly #descriptor: number;
  readonly #onFailure: (error: unknown) => void;
  /** Executions whose results the client has not taken yet. */
  readonly #keys = new Set<string>();
  #end = SHARED_BYTES;
  #hasName = true;
  /** False once memory was full, or the socket is gone. */
  #isWritable = true;

  /** Makes the file; throws when that cannot be. `onFailure` is told once why a payload could not be written. */
  constructor(onFailure: (error: unknown) => void, folder = memoryFolder()) {
    this.#onFailure = onFailure;
    this.path = join(folder, `flowstep-${randomBytes(16).toString('hex')}`);
    this.#descriptor = openSync(this.path, 'wx+', PRIVATE);
    // The client maps it as a whole; what is not written takes no memory.
    ftruncateSync(this.#descriptor, 2 * SHARED_BYTES);
  }

  /** The client has it open. */
  hide(): void {
    if (!this.#hasName) return;
    this.#hasName = false;
    try {
      unlinkSync(this.path);
    } catch {
      // Windows keeps the name of a file that others have open.
    }
  }

  /** Fills `target` with what the client has written; throws MESSAGE_INVALID when it has not. */
  read({ file, at, length }: SharedRange, target: Uint8Array): void {
    if (file !== this.path) throw invalid('in another file than this socket has');
    if (at + length > SHARED_BYTES) throw invalid("outside of the client's half of the file");
    for (let done = 0; done < length; ) {
      const count = readSync(this.#descriptor, target, done, length - done, at + done);
      if (count === 0) throw invalid('behind the end of the file');
      done += count;
    }
  }

  /** Where the client finds `bytes` until `release(key)`; undefined when they must go another way. */
  write(key: string, bytes: Uint8Array): SharedRange | undefined {
    const at = this.#keys.size === 0 ? SHARED_BYTES : this.#end;
    if (!this.#isWritable || at + bytes.length > 2 * SHARED_BYTES) return undefined;
    try {
      for (let done = 0; done < bytes.length; ) {
        done += writeSync(this.#descriptor, bytes, done, bytes.length - done, at + done);
      }
    } catch (error) {
      this.#isWritable = false;
      this.#onFailure(error);
      return undefined;
    }
    this.#keys.add(key);
    this.#end = at + bytes.length;
    return { file: this.path, at, length: bytes.length };
  }

  /** The client has the result of this execution. */
  release(key: string): void {
    this.#keys.delete(key);
  }

  close(): void {
    this.#isWritable = false;
    closeSync(this.#descriptor);
    this.hide();
  }
}

/** Where files are in memory, or nearly so. */
function memoryFolder(): string {
  try {
    accessSync(MEMORY_FOLDER, constants.W_OK);
    return MEMORY_FOLDER;
  } catch {
    return tmpdir();
  }
}

function invalid(where: string): FlowstepError {
  return new FlowstepError('MESSAGE_INVALID', `a payload is said to be ${where}`, {
    hint: 'Write payloads into the first half of the file that the hello on this socket named.',
  });
}
