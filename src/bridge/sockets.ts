/** @file Websockets of a server: the upgrade with its checks, heartbeats, and a connection for each socket. */
import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { type RawData, type WebSocket, WebSocketServer } from 'ws';
import { FlowstepError } from '../errors.ts';
import type { Guard } from './guard.ts';
import { isLoopback } from './guard.ts';
import { MAX_FRAME_BYTES } from './protocol/limits.ts';
import { CLOSE_CODES, SUBPROTOCOL } from './protocol/messages.ts';
import { Pulse } from './pulse.ts';
import { errorBody, statusOf } from './routes.ts';
import { Connection, type ConnectionContext } from './session/connection.ts';

export interface SocketsContext {
  readonly guard: Guard;
  readonly connection: ConnectionContext;
  /** A socket on which nothing has moved from one ping to the next is dead, and its executions' grace time begins. */
  readonly heartbeatMs: number;
  onReceived(bytes: number): void;
}

export interface Sockets {
  count(): number;
  /** Closes all of them; those that do not answer are cut. */
  close(): Promise<void>;
}

const PATH = '/ws';

/** Time for the closing handshake. */
const CLOSE_MS = 500;

/** Takes the upgrades of `server`. */
export function acceptSockets(server: Server, context: SocketsContext): Sockets {
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: MAX_FRAME_BYTES,
    // Tensors and pictures do not compress, and it would cost time.
    perMessageDeflate: false,
    clientTracking: true,
    handleProtocols: () => SUBPROTOCOL,
  });
  // An answer alone would not do: it waits behind what is being sent, in either direction.
  const pulses = new WeakMap<WebSocket, Pulse>();
  server.on('upgrade', (request, stream, head) => {
    const refusal = refusalOf(request, context.guard);
    if (refusal) return refuse(stream, refusal);
    sockets.handleUpgrade(request, stream, head, (socket) => {
      pulses.set(socket, new Pulse(request.socket));
      serve(socket, isLoopback(peerOf(request)), context);
    });
  });
  const heartbeat = setInterval(() => {
    for (const socket of sockets.clients) {
      if (pulses.get(socket)?.beats()) socket.ping();
      else socket.terminate();
    }
  }, context.heartbeatMs).unref();
  return {
    count: () => sockets.clients.size,
    close: () => closeAll(sockets, heartbeat),
  };
}

function refusalOf(request: IncomingMessage, guard: Guard): FlowstepError | undefined {
  const { headers } = request;
  const refusal = guard.refusal(headers) ?? guard.unauthorised(headers);
  if (refusal) return refusal;
  if (request.url?.split('?')[0] !== PATH) {
    return new FlowstepError('USAGE', 'there is no websocket here', { hint: `Open ${PATH}.` });
  }
  const offered = (headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim());
  if (offered.includes(SUBPROTOCOL)) return undefined;
  return new FlowstepError(
    'PROTOCOL_VERSION',
    `the client does not offer the subprotocol ${SUBPROTOCOL}`,
    { hint: 'Install the same version of Flowstep on both sides.' },
  );
}

/** An HTTP answer in place of the upgrade. */
function refuse(stream: Duplex, error: FlowstepError): void {
  const body = errorBody(error);
  stream.on('error', () => stream.destroy());
  stream.end(
    [
      `HTTP/1.1 ${statusOf(error)} Refused`,
      'Content-Type: application/json',
      `Content-Length: ${Buffer.byteLength(body)}`,
      'Connection: close',
      '',
      body,
    ].join('\r\n'),
  );
}

function serve(socket: WebSocket, isLocal: boolean, context: SocketsContext): void {
  // Large messages come as one piece, so that they can be read in place.
  socket.binaryType = 'nodebuffer';
  const connection = new Connection(socket, isLocal, context.connection);
  socket.on('message', (data: RawData, isBinary) => {
    const bytes = data as Buffer;
    context.onReceived(bytes.length);
    connection.onMessage(bytes, isBinary);
  });
  // What is wrong with a frame closes the socket with its code (1009 too large, 1002, 1007).
  socket.on('error', () => undefined);
  socket.on('close', () => connection.onClose());
}

/** The client's address; IPv4 may come in its IPv6 form. */
function peerOf(request: IncomingMessage): string {
  return (request.socket.remoteAddress ?? '').replace(/^::ffff:/, '');
}

async function closeAll(sockets: WebSocketServer, heartbeat: NodeJS.Timeout): Promise<void> {
  clearInterval(heartbeat);
  const open = [...sockets.clients];
  const closed = open.map((socket) => new Promise((done) => socket.once('close', done)));
  for (const socket of open) socket.close(CLOSE_CODES.stopping, 'SERVER_STOPPING');
  const cut = setTimeout(() => {
    for (const socket of open) socket.terminate();
  }, CLOSE_MS);
  await Promise.all(closed);
  clearTimeout(cut);
  sockets.close();
}
