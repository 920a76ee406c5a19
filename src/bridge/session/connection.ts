/** @file One client's socket: reads its messages, sends it the events of the executions that it listens to. */
import { asFlowstepError, FlowstepError } from '../../errors.ts';
import { decodeClientMessage, type Problem } from '../protocol/decode.ts';
import { decodeFrame, type TensorFrame } from '../protocol/frame.ts';
import { LIMITS } from '../protocol/limits.ts';
import {
  type AttachMessage,
  CLOSE_CODES,
  type ClientMessage,
  type ExecuteMessage,
  PROTOCOL_VERSION,
  type ServerMessage,
} from '../protocol/messages.ts';
import type { NodeHost } from '../protocol/node-host.ts';
import type { ExecutionEvent } from './event-log.ts';
import type { ExecutionRequest, Listener } from './execution.ts';
import type { Executions } from './executions.ts';
import { Outbox, type Outgoing, type OutgoingSocket } from './outbox.ts';
import { eventFrames } from './outgoing-events.ts';
import type { SharedFolder } from './shared-folder.ts';
import { Uploads } from './uploads.ts';
import { errorMessage, problemError, REFUSED } from './wire-error.ts';

/** What all connections of a server share. */
export interface ConnectionContext {
  readonly host: NodeHost;
  readonly executions: Executions;
  readonly sharedFolder: SharedFolder;
  readonly version: string;
  readonly graceMs: number;
  /** Time for the client's first message. */
  readonly helloMs: number;
  /** Something that is not the client's doing. */
  onDefect(error: unknown): void;
  onSent(bytes: number): void;
}

export class Connection implements Listener {
  readonly #context: ConnectionContext;
  readonly #socket: OutgoingSocket;
  readonly #isLocal: boolean;
  readonly #outbox: Outbox;
  readonly #uploads: Uploads;
  /** Executions whose results this client takes as files. */
  readonly #withFiles = new Set<string>();
  readonly #helloTimer: NodeJS.Timeout;
  #isGreeted = false;
  #isClosed = false;

  /** `isLocal`: the client runs on this machine. */
  constructor(socket: OutgoingSocket, isLocal: boolean, context: ConnectionContext) {
    this.#socket = socket;
    this.#isLocal = isLocal;
    this.#context = context;
    this.#outbox = new Outbox(socket, context.onSent);
    this.#uploads = new Uploads(context.sharedFolder);
    const late = new FlowstepError('HELLO_MISSING', 'no hello came in time');
    this.#helloTimer = setTimeout(() => this.#end(late, CLOSE_CODES.noHello), context.helloMs);
  }

  /** A message of the client, whatever is in it. Never throws. */
  onMessage(bytes: Uint8Array, isBinary: boolean): void {
    if (this.#isClosed) return;
    try {
      if (isBinary) this.#onFrame(bytes);
      else this.#onText(bytes);
    } catch (thrown) {
      // One client's message must not end the server.
      this.#context.onDefect(thrown);
      this.#say(errorMessage(thrown));
    }
  }

  /** The socket is gone. */
  onClose(): void {
    this.#stopListening();
    this.#context.executions.detach(this);
  }

  onEvent(event: ExecutionEvent): void {
    const folder = this.#withFiles.has(event.key) ? this.#context.sharedFolder : undefined;
    const frames = eventFrames(event, folder);
    if (frames instanceof Promise) void this.#pushWithFiles(event, frames);
    else this.#push(frames);
  }

  /** Only a result waits for files, and nothing comes after it. */
  async #pushWithFiles(event: ExecutionEvent, frames: Promise<Outgoing[]>): Promise<void> {
    try {
      this.#push(await frames);
    } catch (thrown) {
      // A full disk loses no result: the socket takes it.
      this.#context.onDefect(thrown);
      this.#push(await eventFrames(event, undefined));
    }
  }

  #push(frames: readonly Outgoing[]): void {
    for (const frame of frames) this.#outbox.push(frame);
  }

  #onText(bytes: Uint8Array): void {
    const message = decodeClientMessage(bytes);
    if (!message.ok) this.#unreadable(message);
    else if (this.#isGreeted) this.#onMessage(message.value);
    else if (message.value.type === 'hello') this.#greet();
    else this.#end(notGreeted(), CLOSE_CODES.protocol);
  }

  #onFrame(bytes: Uint8Array): void {
    const frame = decodeFrame(bytes);
    if (!frame.ok) this.#unreadable(frame);
    else if (!this.#isGreeted) this.#end(notGreeted(), CLOSE_CODES.protocol);
    else if (frame.value.header.kind === 'tensor') {
      void this.#onTensor(frame.value.header, frame.value.payload);
    } else this.#say(errorMessage(invalid('a client sends tensor frames only')));
  }

  async #onTensor(header: TensorFrame, payload: Uint8Array): Promise<void> {
    try {
      this.#start(await this.#uploads.add(header, payload));
    } catch (thrown) {
      this.#uploads.drop(header.key);
      this.#refuse(header.key, thrown);
    }
  }

  #greet(): void {
    clearTimeout(this.#helloTimer);
    this.#isGreeted = true;
    const { host, version, sharedFolder, graceMs } = this.#context;
    this.#say({
      type: 'hello',
      protocol: PROTOCOL_VERSION,
      server: { name: 'flowstep', version, pid: process.pid },
      nodes: [...host.definitions()],
      limits: LIMITS,
      ...(this.#isLocal && { sharedFolder: sharedFolder.path }),
      graceSeconds: graceMs / 1000,
    });
  }

  #onMessage(message: ClientMessage): void {
    switch (message.type) {
      case 'hello':
        this.#say(errorMessage(invalid('hello came already')));
        break;
      case 'execute':
        this.#answer(message.key, () => this.#execute(message));
        break;
      case 'attach':
        this.#answer(message.key, () => this.#attach(message));
        break;
      case 'cancel':
        this.#answer(message.key, () => this.#cancel(message.key));
        break;
      case 'done':
        this.#withFiles.delete(message.key);
        this.#context.executions.done(message.key);
        break;
      case 'ping':
        this.#say({ type: 'pong', id: message.id });
        break;
      case 'pong':
        break;
    }
  }

  #execute(message: ExecuteMessage): void {
    this.#context.executions.requireRoom(message.key);
    this.#chooseFiles(message);
    this.#start(this.#uploads.begin(message));
  }

  #start(request: ExecutionRequest | undefined): void {
    if (request && !this.#isClosed) this.#context.executions.start(request, this);
  }

  #attach(message: AttachMessage): void {
    this.#chooseFiles(message);
    this.#context.executions.attach(message.key, message.after, this);
  }

  #cancel(key: string): void {
    if (!this.#uploads.drop(key)) this.#context.executions.cancel(key);
    else throw new FlowstepError('INTERRUPTED', 'cancelled before all tensors had come');
  }

  /** Files are for those who see the folder: a client on another machine that asks for them gets none. */
  #chooseFiles({ key, sharedFiles }: { key: string; sharedFiles?: boolean | undefined }): void {
    if (sharedFiles && this.#isLocal) this.#withFiles.add(key);
    else this.#withFiles.delete(key);
  }

  /** An error of `act` answers the request for `key`. */
  #answer(key: string, act: () => void): void {
    try {
      act();
    } catch (thrown) {
      this.#refuse(key, thrown);
    }
  }

  #refuse(key: string, thrown: unknown): void {
    const error = asFlowstepError(thrown);
    if (error.kind === 'bug') this.#context.onDefect(thrown);
    this.#say(errorMessage(error, { key, seq: REFUSED }));
  }

  #unreadable(what: Problem): void {
    const error = problemError(what);
    const { key } = what;
    if (what.code === 'MESSAGE_TOO_LARGE') this.#end(error, CLOSE_CODES.tooLarge);
    else if (!this.#isGreeted) this.#end(error, CLOSE_CODES.protocol);
    else this.#say(errorMessage(error, key === undefined ? {} : { key, seq: REFUSED }));
  }

  #say(message: ServerMessage): void {
    this.#outbox.push({ parts: [JSON.stringify(message)] });
  }

  /** Says why, and closes. */
  #end(error: FlowstepError, code: number): void {
    this.#say(errorMessage(error));
    this.#stopListening();
    this.#socket.close(code, error.code);
  }

  #stopListening(): void {
    clearTimeout(this.#helloTimer);
    this.#isClosed = true;
    this.#outbox.close();
  }
}

function notGreeted(): FlowstepError {
  return invalid('the first message must be hello');
}

function invalid(message: string): FlowstepError {
  return new FlowstepError('MESSAGE_INVALID', message);
}
