/** @file A client of ComfyUI: queues prompts over HTTP and keeps every frame of its websocket. */
import { randomUUID } from 'node:crypto';
import WebSocket from 'ws';

/** A workflow in API form. */
export type Prompt = Readonly<
  Record<
    string,
    { readonly class_type: string; readonly inputs: Readonly<Record<string, unknown>> }
  >
>;

/** A frame as the golden traces have them: a text frame's message, or what a binary one is. */
export interface Frame {
  readonly type: string;
  /** Of a text frame. */
  readonly data: Readonly<Record<string, unknown>>;
  /** Of a binary frame: all of it. */
  readonly bytes?: Buffer;
}

const BINARY_TYPES: Readonly<Record<number, string>> = {
  1: 'binary preview',
  3: 'binary text',
  4: 'binary preview with metadata',
};

/** Longest wait of a test; the server may be starting. */
const WAIT_MS = 90_000;

export class ComfyClient implements Disposable {
  readonly frames: Frame[] = [];
  readonly #url: string;
  readonly #id = randomUUID();
  readonly #socket: WebSocket;
  #wake: () => void = () => undefined;

  private constructor(url: string) {
    this.#url = url;
    this.#socket = new WebSocket(`${url.replace(/^http/, 'ws')}/ws?clientId=${this.#id}`);
    this.#socket.on('message', (data: Buffer, isBinary) => {
      this.frames.push(isBinary ? binaryFrame(data) : (JSON.parse(data.toString()) as Frame));
      this.#wake();
    });
  }

  static async connect(url: string, flags?: object): Promise<ComfyClient> {
    const client = new ComfyClient(url);
    await new Promise((resolve, reject) => {
      client.#socket.once('open', resolve).once('error', reject);
    });
    // A killed ComfyUI resets the connection, and tests do that.
    client.#socket.on('error', () => undefined);
    await client.until(({ type, data }) => type === 'status' && 'sid' in data);
    if (flags) client.#socket.send(JSON.stringify({ type: 'feature_flags', data: flags }));
    return client;
  }

  /** Queues the prompt; returns its id. Throws what ComfyUI says when it refuses. */
  async queue(prompt: Prompt): Promise<string> {
    const answer = await this.post('/prompt', { prompt, client_id: this.#id });
    if (!('prompt_id' in answer)) throw new Error(JSON.stringify(answer));
    return String(answer['prompt_id']);
  }

  /** Queues the prompt and waits for its end; its frames and its entry in the history. */
  async run(prompt: Prompt): Promise<{ frames: Frame[]; entry: HistoryEntry }> {
    const from = this.frames.length;
    const id = await this.queue(prompt);
    await this.ended(id);
    return { frames: this.frames.slice(from), entry: await this.entry(id) };
  }

  async entry(id: string): Promise<HistoryEntry> {
    const history = (await this.get(`/history/${id}`)) as Record<string, HistoryEntry>;
    return history[id]!;
  }

  ended(id: string): Promise<Frame> {
    return this.until(
      ({ type, data }) => type === 'executing' && data['node'] === null && data['prompt_id'] === id,
    );
  }

  /** The first frame, also of the past, that passes the test. */
  async until(test: (frame: Frame) => boolean): Promise<Frame> {
    const end = Date.now() + WAIT_MS;
    for (let seen = 0; ; seen++) {
      while (seen >= this.frames.length) {
        const left = end - Date.now();
        if (left <= 0) {
          const last = this.frames.slice(-5).map(({ type, data }) => ({ type, data }));
          throw new Error(
            `waited in vain; the last frames: ${JSON.stringify(last).slice(0, 2000)}`,
          );
        }
        await this.#nextFrame(left);
      }
      if (test(this.frames[seen]!)) return this.frames[seen]!;
    }
  }

  async get(path: string): Promise<unknown> {
    return (await fetch(this.#url + path)).json();
  }

  async post(path: string, body: object): Promise<Record<string, unknown>> {
    const response = await fetch(this.#url + path, { method: 'POST', body: JSON.stringify(body) });
    const text = await response.text();
    return text === '' ? {} : (JSON.parse(text) as Record<string, unknown>);
  }

  [Symbol.dispose](): void {
    this.#socket.terminate();
  }

  #nextFrame(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

export interface OutputFile {
  readonly filename: string;
  readonly subfolder: string;
  readonly type: string;
}

export interface HistoryEntry {
  /** By node. */
  readonly outputs: Readonly<
    Record<string, { readonly images?: readonly OutputFile[]; readonly text?: readonly string[] }>
  >;
  readonly status: {
    readonly status_str: string;
    readonly completed: boolean;
    readonly messages: readonly (readonly [string, Readonly<Record<string, unknown>>])[];
  };
}

function binaryFrame(bytes: Buffer): Frame {
  return { type: BINARY_TYPES[bytes.readUInt32BE(0)] ?? 'binary', data: {}, bytes };
}

/** Node and text of a frame `binary text`. */
export function progressText({ bytes }: Frame): { node: string; text: string } {
  if (!bytes) throw new Error('no binary frame');
  const end = 8 + bytes.readUInt32BE(4);
  return { node: bytes.toString('utf8', 8, end), text: bytes.toString('utf8', end) };
}
