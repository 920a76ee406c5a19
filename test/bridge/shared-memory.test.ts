/** Tensors that two processes of one machine hand over in memory. */
import {
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  writeSync,
} from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { SharedRange, TensorFrame } from '../../src/bridge/protocol/frame.ts';
import { SHARED_BYTES, SHARED_FILE_BYTES } from '../../src/bridge/protocol/limits.ts';
import type { BridgeServer } from '../../src/bridge/server.ts';
import { SharedMemory } from '../../src/bridge/session/shared-memory.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { Client, echo, type Received, serverOf } from './support.ts';

const LENGTH = SHARED_FILE_BYTES + 4;
const TENSOR = { name: 'x', dtype: 'uint8', shape: [LENGTH] } as const;

/** Bytes that tell from where they come. */
function pattern(seed: number, length = LENGTH): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 37 + seed) % 251;
  return bytes;
}

/** Vitest compares large arrays element by element. */
function equal(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.compare(one, other) === 0;
}

/** What a node gives. */
function made(seed: number, length = LENGTH) {
  return { dtype: 'uint8', shape: [length], data: pattern(seed, length) };
}

/** A client that shares memory with its server. */
class Sharing {
  readonly client: Client;
  readonly path: string;
  readonly #descriptor: number;

  private constructor(client: Client, path: string) {
    this.client = client;
    this.path = path;
    this.#descriptor = openSync(path, 'r+');
    onTestFinished(() => closeSync(this.#descriptor));
  }

  static async connect(server: BridgeServer): Promise<Sharing> {
    const { client, path } = await greeted(server, { sharedFile: true });
    return new Sharing(client, path!);
  }

  execute(key: string, node = 'echo'): void {
    this.client.execute(key, node, { a: { $tensor: 'x' } }, { tensors: [TENSOR] });
  }

  /** Sends bytes through the file. */
  upload(key: string, bytes: Uint8Array, at = 0): void {
    writeSync(this.#descriptor, bytes, 0, bytes.length, at);
    this.name(key, { file: this.path, at, length: bytes.length });
  }

  name(key: string, shared: SharedRange, payload?: Uint8Array): void {
    this.client.sendFrame({ kind: 'tensor', key, name: 'x', offset: 0, shared }, payload);
  }

  /** Where the only tensor of a result is. */
  async answer(key: string): Promise<SharedRange> {
    await this.client.end(key);
    const frames = this.client.received.filter(
      (m): m is TensorFrame & { payload: Buffer } => isTensorFrame(m) && m.key === key,
    );
    expect(frames).toMatchObject([{ offset: 0, payload: Buffer.alloc(0) }]);
    return frames[0]!.shared!;
  }

  read({ at, length }: SharedRange): Uint8Array {
    const bytes = new Uint8Array(length);
    readSync(this.#descriptor, bytes, 0, length, at);
    return bytes;
  }
}

/** A client after the hello, and the file that it was told. */
async function greeted(server: BridgeServer, hello: object) {
  const client = new Client(server.ws);
  await client.opened();
  client.send({ type: 'hello', protocol: 1, client: { name: 'test', version: '0' }, ...hello });
  const answer = await client.until((m) => 'type' in m && m.type === 'hello');
  return { client, path: 'sharedFile' in answer ? answer.sharedFile : undefined };
}

function isTensorFrame(message: Received): message is TensorFrame & { payload: Buffer } {
  return 'kind' in message && message.kind === 'tensor';
}

/** Where a link leads; the descriptor that lists a folder has none any more. */
function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

function fail(error: unknown): never {
  throw error;
}

describe('shared memory', () => {
  test('is a file that only the user can open, without a name once the client goes on', async () => {
    const sharing = await Sharing.connect(await serverOf({ echo }));
    expect((await stat(sharing.path)).mode & 0o777).toBe(0o600);
    sharing.execute('k');
    sharing.upload('k', pattern(1));
    const answer = await sharing.answer('k');
    expect(equal(sharing.read(answer), pattern(1))).toBe(true);
    expect(existsSync(sharing.path)).toBe(false);
  });

  test('leaves nothing when a client goes without a word', async () => {
    const server = await serverOf({ echo });
    const { client, path } = await greeted(server, { sharedFile: true });
    expect(existsSync(path!)).toBe(true);
    await client.cut();
    await server.stop();
    expect(existsSync(path!)).toBe(false);
  });

  test('is written again when an execution is done', async () => {
    const sharing = await Sharing.connect(await serverOf({ echo }));
    for (const key of ['a', 'b', 'c']) {
      sharing.execute(key);
      sharing.upload(key, pattern(key.charCodeAt(0)));
      const answer = await sharing.answer(key);
      expect(answer).toEqual({ file: sharing.path, at: SHARED_BYTES, length: LENGTH });
      expect(equal(sharing.read(answer), pattern(key.charCodeAt(0)))).toBe(true);
      sharing.client.send({ type: 'done', key });
    }
  });

  test('keeps what several executions give until all are done', async () => {
    const sharing = await Sharing.connect(await serverOf({ echo }));
    for (const key of ['a', 'b']) sharing.execute(key);
    sharing.upload('b', pattern(2), LENGTH);
    sharing.upload('a', pattern(1), 0);
    const [b, a] = [await sharing.answer('b'), await sharing.answer('a')];
    sharing.client.send({ type: 'done', key: 'b' });
    sharing.execute('c');
    sharing.upload('c', pattern(3));
    const c = await sharing.answer('c');
    expect([b, a, c].map(({ at }) => at - SHARED_BYTES)).toEqual([0, LENGTH, 2 * LENGTH]);
    expect(equal(sharing.read(a), pattern(1))).toBe(true);
    expect(equal(sharing.read(c), pattern(3))).toBe(true);
  });

  test('of a client that comes back is another, with the result that was kept', async () => {
    const server = await serverOf({ echo });
    const before = await Sharing.connect(server);
    before.execute('k');
    before.upload('k', pattern(3));
    await before.answer('k');
    await before.client.cut();
    const after = await Sharing.connect(server);
    expect(after.path).not.toBe(before.path);
    after.client.send({ type: 'attach', key: 'k', after: 0 });
    expect(equal(after.read(await after.answer('k')), pattern(3))).toBe(true);
  });

  test('is not there for a client that did not ask', async () => {
    const server = await serverOf({ echo, make: async () => ({ outputs: { a: made(5) } }) });
    const { client, path } = await greeted(server, {});
    expect(path).toBeUndefined();
    client.execute('k', 'make');
    await client.end('k');
    const frame = client.received.at(-2)!;
    expect('payload' in frame && equal(frame.payload, pattern(5))).toBe(true);
    const shared = { file: '/etc/passwd', at: 0, length: LENGTH };
    client.execute('l', 'echo', { a: { $tensor: 'x' } }, { tensors: [TENSOR] });
    client.sendFrame({ kind: 'tensor', key: 'l', name: 'x', offset: 0, shared });
    expect(await client.end('l')).toMatchObject({
      code: 'MESSAGE_INVALID',
      message: expect.stringContaining('shares none'),
    });
  });

  test('takes what fits; the rest goes over the socket', async () => {
    const length = SHARED_BYTES + 1;
    const node = async () => ({ outputs: { a: made(1, length) } });
    const sharing = await Sharing.connect(await serverOf({ node }));
    sharing.execute('k', 'node');
    sharing.upload('k', pattern(1));
    await sharing.client.end('k');
    let end = 0;
    for (const { offset, shared, payload } of sharing.client.received.filter(isTensorFrame)) {
      const bytes = shared ? sharing.read(shared) : payload;
      expect([offset, bytes[0]]).toEqual([end, (end * 37 + 1) % 251]);
      end += bytes.length;
    }
    expect(end).toBe(length);
  });

  test.each([
    ['another file', { file: '/etc/passwd' }, 'in another file'],
    ['a relative path', { file: 'flowstep-0' }, 'in another file'],
    ["the server's half", { at: SHARED_BYTES - LENGTH + 1 }, "outside of the client's half"],
  ])('is not read from %s', async (_, wrong, says) => {
    const sharing = await Sharing.connect(await serverOf({ echo }));
    sharing.execute('k');
    sharing.name('k', { file: sharing.path, at: 0, length: LENGTH, ...wrong });
    expect(await sharing.client.end('k')).toMatchObject({
      code: 'MESSAGE_INVALID',
      seq: 0,
      message: expect.stringContaining(says),
    });
    sharing.execute('again');
    sharing.upload('again', pattern(4));
    expect(equal(sharing.read(await sharing.answer('again')), pattern(4))).toBe(true);
  });

  test('may not be named by a frame that has a payload too', async () => {
    const sharing = await Sharing.connect(await serverOf({ echo }));
    sharing.execute('k');
    sharing.name('k', { file: sharing.path, at: 0, length: LENGTH }, new Uint8Array(1));
    expect(await sharing.client.end('k')).toMatchObject({
      code: 'MESSAGE_INVALID',
      message: expect.stringContaining('in a file and in its frame'),
    });
  });

  test.skipIf(process.platform !== 'linux')(
    'that cannot be written is told once, and everything goes over the socket',
    async () => {
      const told: unknown[] = [];
      const memory = new SharedMemory((error) => told.push(error), await tempFolder());
      expect(memory.write('k', pattern(1))).toMatchObject({ at: SHARED_BYTES });
      // As good as a full disk: nothing can be written any more.
      const isOurs = (name: string) => linkOf(`/proc/self/fd/${name}`) === memory.path;
      closeSync(Number(readdirSync('/proc/self/fd').find(isOurs)));
      expect(memory.write('k', pattern(1))).toBeUndefined();
      expect(memory.write('k', pattern(1))).toBeUndefined();
      expect(told).toMatchObject([{ code: 'EBADF' }]);
    },
  );

  test('that cannot be made is an error of who makes it', async () => {
    const folder = join(await tempFolder(), 'none');
    expect(() => new SharedMemory(fail, folder)).toThrow('ENOENT');
  });
});
