/** @file One client's socket: reads its messages, sends it the events of the executions that it listens to. */
import { asFlowstepError, FlowstepError } from '../../errors.ts';
import { decodeClientMessage, type Problem } from '../protocol/decode.ts';
import { decodeFrame, type TensorFrame } from '../protocol/frame.ts';
import { LIMITS } from '../protocol/limits.ts';
import {
  CLOSE_CODES,
  type ClientMessage,
  type ExecuteMessage,
  type FingerprintMessage,
  type HelloMessage,
  PROTOCOL_VERSION,
  type ServerMessage,
} from '../protocol/messages.ts';
import type { NodeHost } from '../protocol/node-host.ts';
import type { ExecutionEvent } from './event-log.ts';
import type { ExecutionRequest, Listener } from './execution.ts';
import type { Executions } from './executions.ts';
import { Outbox, type OutgoingSocket } from './outbox.ts';
import { eventFrames } from './outgoing-events.ts';
import { SharedMemory } from './shared-memory.ts';
import { Uploads } from './uploads.ts';
import { errorMessage, problemError, REFUSED } from './wire-error.ts';

/** What all connections of a server share. */
export interface ConnectionContext {
  readonly host: NodeHost;
  readonly executions: Executions;
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
  readonly #uploads = new Uploads();
  #shared: SharedMemory | undefined;
  readonly #helloTimer: NodeJS.Timeout;
  #isGreeted = false;
  #isClosed = false;

  /** `isLocal`: the client runs on this machine. */
  constructor(socket: OutgoingSocket, isLocal: boolean, context: ConnectionContext) {
    this.#socket = socket;
    this.#isLocal = isLocal;
    this.#context = context;
    this.#outbox = new Outbox(socket, context.onSent);
    const late = new FlowstepError('HELLO_MISSING', 'no hello came in time');
    this.#helloTimer = setTimeout(() => this.#end(late, CLOSE_CODES.noHello), context.helloMs);
  }

  /** A message of the client, whatever is in it. Never throws. */
  onMessage(bytes: Uint8Array, isBinary: boolean): void {
    if (this.#isClosed) return;
    this.#shared?.hide();
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
    this.#shared?.close();
    this.#shared = undefined;
  }

  onEvent(event: ExecutionEvent): void {
    for (const frame of eventFrames(event, this.#shared)) this.#outbox.push(frame);
  }

  #onText(bytes: Uint8Array): void {
    const message = decodeClientMessage(bytes);
    if (!message.ok) this.#unreadable(message);
    else if (this.#isGreeted) this.#onMessage(message.value);
    else if (message.value.type === 'hello') this.#greet(message.value);
    else this.#end(notGreeted(), CLOSE_CODES.protocol);
  }

  #onFrame(bytes: Uint8Array): void {
    const frame = decodeFrame(bytes);
    if (!frame.ok) this.#unreadable(frame);
    else if (!this.#isGreeted) this.#end(notGreeted(), CLOSE_CODES.protocol);
    else if (frame.value.header.kind === 'tensor') {
      this.#onTensor(frame.value.header, frame.value.payload);
    } else this.#say(errorMessage(invalid('a client sends tensor frames only')));
  }

  #onTensor(header: TensorFrame, payload: Uint8Array): void {
    try {
      this.#start(this.#uploads.add(header, payload, this.#shared));
    } catch (thrown) {
      this.#uploads.drop(header.key);
      this.#refuse(header.key, thrown);
    }
  }

  #greet({ sharedFile }: HelloMessage): void {
    clearTimeout(this.#helloTimer);
    this.#isGreeted = true;
    const { host, version, graceMs } = this.#context;
    if (sharedFile && this.#isLocal) this.#shared = this.#newSharedMemory();
    this.#say({
      type: 'hello',
      protocol: PROTOCOL_VERSION,
      server: { name: 'flowstep', version, pid: process.pid },
      nodes: [...host.definitions()],
      limits: LIMITS,
      ...(this.#shared && { sharedFile: this.#shared.path }),
      graceSeconds: graceMs / 1000,
    });
  }

  #onMessage(message: ClientMessage): void {
    switch (message.type) {
      case 'hello':
        this.#say(errorMessage(invalid('hello came already')));
        break;
      case 'execute':
      case 'fingerprint':
        this.#answer(message.key, () => this.#execute(message));
        break;
      case 'attach':
        this.#answer(message.key, () =>
          this.#context.executions.attach(message.key, message.after, this),
        );
        break;
      case 'cancel':
        this.#answer(message.key, () => this.#cancel(message.key));
        break;
      case 'done':
        this.#shared?.release(message.key);
        this.#context.executions.done(message.key);
        break;
      case 'ping':
        this.#say({ type: 'pong', id: message.id });
        break;
      case 'pong':
        break;
    }
  }

  #execute(message: ExecuteMessage | FingerprintMessage): void {
    this.#context.executions.requireRoom(message.key);
    this.#start(this.#uploads.begin(message));
  }

  #start(request: ExecutionRequest | undefined): void {
    if (request && !this.#isClosed) this.#context.executions.start(request, this);
  }

  #cancel(key: string): void {
    if (!this.#uploads.drop(key)) this.#context.executions.cancel(key);
    else throw new FlowstepError('INTERRUPTED', 'cancelled before all tensors had come');
  }

  /** Undefined where it cannot be had: everything goes over the socket then. */
  #newSharedMemory(): SharedMemory | undefined {
    try {
      return new SharedMemory(this.#context.onDefect);
    } catch (error) {
      this.#context.onDefect(error);
      return undefined;
    }
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
