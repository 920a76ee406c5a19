/** @file A server over nodes that a test plays, and a client that remembers everything it got. */
import { onTestFinished } from 'vitest';
import { WebSocket } from 'ws';
import { decodeServerMessage } from '../../src/bridge/protocol/decode.ts';
import { decodeFrame, encodeFrame, type FrameHeader } from '../../src/bridge/protocol/frame.ts';
import { type ServerMessage, SUBPROTOCOL } from '../../src/bridge/protocol/messages.ts';
import type {
  NodeEvents,
  NodeHost,
  NodeOutcome,
  NodeRequest,
} from '../../src/bridge/protocol/node-host.ts';
import { type BridgeServer, type ServerOptions, startServer } from '../../src/bridge/server.ts';

export const TOKEN = 'a-token-of-the-tests-0123456789';

/** Plays a node by its name. */
export type Play = (request: NodeRequest, events: NodeEvents) => Promise<Partial<NodeOutcome>>;

/** A host with these nodes. */
export function hostOf(nodes: Readonly<Record<string, Play>>): NodeHost {
  return {
    definitions: () => [],
    async execute(request, events) {
      const outcome = await nodes[request.node]!(request, events);
      return { outputs: {}, blocked: {}, files: [], ...outcome };
    },
    fingerprint: async ({ node, inputs }) =>
      node === 'plain' ? undefined : `${node} of ${JSON.stringify(inputs)}`,
  };
}

/** A node that gives its inputs back, tensors included. */
export const echo: Play = async ({ inputs }) => ({ outputs: { ...inputs } });

/** Runs until it is cancelled, and fails as a cancelled node does. */
export const forever: Play = ({ signal }) =>
  new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(new Error('stopped')));
  });

/** A node that ends when the test says so. */
export function gated(play: Play = echo): { node: Play; open(): void; started: Promise<void> } {
  let open = () => {};
  let begin = () => {};
  const gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  const started = new Promise<void>((resolve) => {
    begin = resolve;
  });
  const node: Play = async (request, events) => {
    begin();
    await gate;
    return play(request, events);
  };
  return { node, open: () => open(), started };
}

/** A server that is stopped when the test has finished. */
export async function serverOf(
  nodes: Readonly<Record<string, Play>>,
  options: Partial<ServerOptions> = {},
): Promise<BridgeServer> {
  const server = await startServer({ host: hostOf(nodes), token: TOKEN, version: '0', ...options });
  onTestFinished(() => server.stop());
  return server;
}

/** Something that the server sent; binary frames as they were decoded. */
export type Received = ServerMessage | (FrameHeader & { readonly payload: Buffer });

export interface ClientOptions {
  readonly token?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly protocol?: string;
  /** Certificate that is trusted in place of those of the system. */
  readonly ca?: string;
  /** False for a client that answers no pings, as one whose cable was pulled. */
  readonly autoPong?: boolean;
}

export class Client {
  readonly socket: WebSocket;
  readonly received: Received[] = [];
  #waiting: (() => void)[] = [];

  constructor(
    address: string,
    { token = TOKEN, headers, protocol, ca, autoPong = true }: ClientOptions = {},
  ) {
    this.socket = new WebSocket(address, protocol ?? SUBPROTOCOL, {
      headers: { Authorization: `Bearer ${token}`, ...headers },
      autoPong,
      ...(ca !== undefined && { ca }),
    });
    this.socket.on('message', (data, isBinary) => {
      this.received.push(readMessage(data as Buffer, isBinary));
      this.#wake();
    });
    this.socket.on('close', () => this.#wake());
    this.socket.on('error', () => this.#wake());
  }

  /** Connected and greeted. */
  static async connect(server: BridgeServer, options: ClientOptions = {}): Promise<Client> {
    const client = new Client(server.ws, options);
    await client.opened();
    client.send({ type: 'hello', protocol: 1, client: { name: 'test', version: '0' } });
    await client.until((m) => 'type' in m && m.type === 'hello');
    return client;
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }

  opened(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.socket.once('open', resolve);
      this.socket.once('error', reject);
    });
  }

  /** Code and reason. */
  closed(): Promise<{ code: number; reason: string }> {
    return new Promise((resolve) => {
      this.socket.once('close', (code, reason) => resolve({ code, reason: String(reason) }));
    });
  }

  /** Gone without a word, as a cable is pulled. */
  cut(): Promise<unknown> {
    const closed = this.closed();
    this.socket.terminate();
    return closed;
  }

  send(message: object): void {
    this.socket.send(JSON.stringify(message));
  }

  sendFrame(header: FrameHeader, payload: Uint8Array = new Uint8Array()): void {
    this.socket.send(encodeFrame(header, payload));
  }

  execute(key: string, node: string, inputs: object = {}, more: object = {}): void {
    this.send({ type: 'execute', key, node, inputs, tensors: [], ...more });
  }

  /** The first message, of those that came and those to come, that `wanted` takes. */
  async until(wanted: (message: Received) => boolean): Promise<Received> {
    for (let next = 0; ; ) {
      for (; next < this.received.length; next++) {
        const message = this.received[next]!;
        if (wanted(message)) return message;
      }
      if (this.socket.readyState === WebSocket.CLOSED) {
        throw new Error(`closed; got ${JSON.stringify(this.received.map(nameOf))}`);
      }
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
      });
    }
  }

  /** The result or error of an execution. */
  end(key: string): Promise<Received> {
    return this.until(
      (m) => m && 'type' in m && (m.type === 'result' || m.type === 'error') && m.key === key,
    );
  }

  /** Kinds of what came for `key`, in order. */
  kinds(key: string): string[] {
    return this.received.filter((m) => 'key' in m && m.key === key).map(nameOf);
  }
}

export function nameOf(message: Received): string {
  return 'type' in message ? message.type : message.kind;
}

function readMessage(bytes: Buffer, isBinary: boolean): Received {
  if (!isBinary) {
    const message = decodeServerMessage(bytes);
    if (!message.ok) throw new Error(message.message);
    return message.value;
  }
  const frame = decodeFrame(bytes);
  if (!frame.ok) throw new Error(frame.message);
  return { ...frame.value.header, payload: Buffer.from(frame.value.payload) };
}
