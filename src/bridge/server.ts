/** @file The server: express and websockets on one port. */
import { createServer as createHttpServer, type Server } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { createSecureContext } from 'node:tls';
import { FlowstepError } from '../errors.ts';
import { Guard, isLoopback, reachableHost, requireToken } from './guard.ts';
import { serverMetrics } from './metrics.ts';
import type { NodeHost } from './protocol/node-host.ts';
import { routes } from './routes.ts';
import { Executions } from './session/executions.ts';
import { acceptSockets } from './sockets.ts';

export interface ServerOptions {
  readonly host: NodeHost;
  /** Whoever has it may use the server. */
  readonly token: string;
  /** Of the product; told to clients. */
  readonly version: string;
  /** Name or address; default: loopback. Others need `tls`, or `insecure`. */
  readonly listen?: string;
  /** 0 = any free port. */
  readonly port?: number;
  /** Contents of PEM files. */
  readonly tls?: { readonly cert: string; readonly key: string };
  readonly insecure?: boolean;
  readonly graceMs?: number;
  readonly retentionMs?: number;
  readonly helloMs?: number;
  readonly heartbeatMs?: number;
  /** Defects of our own. */
  onDefect?(error: unknown): void;
}

export interface BridgeServer {
  readonly url: string;
  readonly ws: string;
  readonly executions: Executions;
  /** Refuses what comes, ends what runs and keeps what was trained, closes all sockets. */
  stop(): Promise<void>;
}

/** A page reload or a network hiccup is over by then; a run without a client costs no more than that. */
const GRACE_MS = 60_000;

/** A client that lost its connection comes back within minutes or not at all. */
const RETENTION_MS = 10 * 60_000;

/** The hello follows the upgrade at once. */
const HELLO_MS = 10_000;

/** A cable that is pulled is noticed within two of these; proxies close what is silent for a minute. */
export const HEARTBEAT_MS = 20_000;

/** Starts the server; throws USAGE for an address that would be open to others, LISTEN_FAILED when it cannot listen. */
export async function startServer(options: ServerOptions): Promise<BridgeServer> {
  const { host, token, version, listen = '127.0.0.1', port = 0, tls } = options;
  const { graceMs = GRACE_MS, retentionMs = RETENTION_MS } = options;
  const { helloMs = HELLO_MS, heartbeatMs = HEARTBEAT_MS } = options;
  const onDefect = options.onDefect ?? (() => undefined);
  requireToken(token);
  requireSafeAddress(listen, options);
  if (tls) requireUsable(tls);
  const guard = new Guard(token, listen);
  const executions = new Executions({
    host,
    graceMs,
    retentionMs,
    onEnded(outcome, error) {
      metrics.ended(outcome);
      if (error?.kind === 'bug') onDefect(error);
    },
  });
  const metrics = serverMetrics(executions, () => sockets.count());
  const app = routes({ guard, host, version, metrics: metrics.registry, onDefect });
  const server = tls ? createHttpsServer({ ...tls }, app) : createHttpServer(app);
  const sockets = acceptSockets(server, {
    guard,
    heartbeatMs,
    onReceived: metrics.received,
    connection: {
      host,
      executions,
      version,
      graceMs,
      helloMs,
      onDefect,
      onSent: metrics.sent,
    },
  });
  await listening(server, listen, port);
  const at = `${reachableHost(listen)}:${(server.address() as AddressInfo).port}`;
  return {
    url: `${tls ? 'https' : 'http'}://${at}`,
    ws: `${tls ? 'wss' : 'ws'}://${at}/ws`,
    executions,
    async stop() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      await executions.stop();
      await sockets.close();
      server.closeAllConnections();
      await closed;
      metrics.registry.clear();
    },
  };
}

function requireSafeAddress(listen: string, { tls, insecure }: ServerOptions): void {
  if (isLoopback(listen) || tls || insecure) return;
  throw new FlowstepError('USAGE', `${listen} can be reached by other machines`, {
    hint: 'Give --tls-cert and --tls-key, or --insecure where nobody else can listen in.',
  });
}

function requireUsable(tls: { readonly cert: string; readonly key: string }): void {
  try {
    createSecureContext(tls);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new FlowstepError('USAGE', `the certificate and key cannot be used: ${why}`, {
      hint: 'Both are PEM files, and the key belongs to the certificate.',
      cause,
    });
  }
}

function listening(server: Server, listen: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause) => {
      reject(
        new FlowstepError('LISTEN_FAILED', `cannot listen on ${listen}:${port}: ${cause.message}`, {
          hint: 'Choose another --port, or 0 for any that is free.',
          cause,
        }),
      );
    });
    server.listen(port, listen.replace(/^\[(.*)\]$/, '$1'), resolve);
  });
}
