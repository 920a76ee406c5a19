/** @file `flowstep serve`: runs nodes for ComfyUI and other hosts. */
import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { type BridgeServer, startServer } from '../bridge/server.ts';
import { readRoots } from '../config.ts';
import { asFlowstepError, FlowstepError } from '../errors.ts';
import { nodeHost } from '../host/node-host.ts';
import { allNodes } from '../nodes/all-nodes.ts';
import { engine } from '../trainer/runtime/engine.ts';
import { PACKAGE_VERSION } from '../version.ts';
import { addEngineChoices, deviceText, startEngine } from './engine-options.ts';
import { examples, type Io } from './io.ts';
import { wholeNumber } from './options.ts';
import { type Parent, readParent } from './parent.ts';
import { EXIT_FAILURE, errorText } from './report-error.ts';

interface ServeOptions {
  readonly listen: string;
  readonly port: number;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly insecure?: boolean;
  readonly tokenStdin?: boolean;
  readonly parentStdin?: boolean;
  readonly out?: string;
}

/** A device that does not work must not end the server, so all are tried elsewhere. */
const AUTO = 'auto';

/** A parent that waits for this process waits five seconds; what runs has that long for its checkpoint. */
const STOP_MS = 4500;

/** Adds the command to the program. */
export function addServeCommand(program: Command, io: Io): void {
  addEngineChoices(program.command('serve'), { device: AUTO, threads: 'all processors' })
    .description(
      'Run nodes for a host such as ComfyUI. The address is printed as one line of JSON. Clients need the token of FLOWSTEP_TOKEN.',
    )
    .option('--listen <HOST>', 'name or address to listen on', '127.0.0.1')
    .option('--port <N>', 'port to listen on; 0 = any that is free', wholeNumber(0, 65_535), 0)
    .option('--tls-cert <FILE>', 'certificate (PEM); needed to listen beyond this machine')
    .option('--tls-key <FILE>', 'its key (PEM)')
    .option('--insecure', 'listen beyond this machine without TLS: others can read along')
    .option(
      '--token-stdin',
      'read the token from the first line of stdin instead of FLOWSTEP_TOKEN; implies --parent-stdin',
    )
    .option('--parent-stdin', 'stop when stdin ends, as it does when the parent process is gone')
    .option(
      '--out <DIR>',
      'folder for everything that is written (default: FLOWSTEP_OUTPUT or output)',
    )
    .addHelpText(
      'before',
      examples(
        'flowstep serve --port 8190     (with FLOWSTEP_TOKEN in the environment)',
        'flowstep serve --token-stdin',
        'flowstep serve --listen 0.0.0.0 --port 8190 --tls-cert cert.pem --tls-key key.pem',
      ),
    )
    .action((options: ServeOptions, command: Command) => serve(options, command, io));
}

async function serve(options: ServeOptions, command: Command, io: Io): Promise<void> {
  const parent = options.tokenStdin || options.parentStdin ? readParent(process.stdin) : undefined;
  try {
    const tls = await readTls(options);
    const token = await readToken(options, parent, io);
    const chosen = await startEngine(command, AUTO);
    const roots = readRoots(io.environment, { output: options.out });
    const server = await startServer({
      host: nodeHost(allNodes(), roots, deviceText(chosen)),
      token,
      version: PACKAGE_VERSION,
      listen: options.listen,
      port: options.port,
      ...(tls && { tls }),
      insecure: options.insecure ?? false,
      onDefect: (error) => io.log.line(errorText(asFlowstepError(error))),
    });
    const { url, ws } = server;
    const { pid } = process;
    const { device } = engine().library;
    io.stdout.write(`${JSON.stringify({ url, ws, pid, version: PACKAGE_VERSION, device })}\n`);
    io.log.line(`flowstep ${PACKAGE_VERSION} listens on ${url}`);
    await Promise.race([aborted(io.signal), ...(parent ? [parent.gone] : [])]);
    await stop(server, io);
  } finally {
    // An open pipe would keep the process alive.
    if (parent) process.stdin.destroy();
  }
}

async function readToken(
  { tokenStdin }: ServeOptions,
  parent: Parent | undefined,
  io: Io,
): Promise<string> {
  if (tokenStdin && parent) return parent.firstLine();
  const token = io.environment['FLOWSTEP_TOKEN'];
  if (token) return token;
  throw new FlowstepError('USAGE', 'serve needs a token that clients must show', {
    hint: 'Make one: export FLOWSTEP_TOKEN=$(openssl rand -hex 32); or write it to stdin with --token-stdin.',
  });
}

async function readTls({
  tlsCert,
  tlsKey,
}: ServeOptions): Promise<{ cert: string; key: string } | undefined> {
  if (tlsCert === undefined && tlsKey === undefined) return undefined;
  if (tlsCert === undefined || tlsKey === undefined) {
    throw new FlowstepError('USAGE', '--tls-cert and --tls-key are given together');
  }
  return { cert: await readPem(tlsCert), key: await readPem(tlsKey) };
}

async function readPem(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw new FlowstepError('FILE_UNREADABLE', `${file} cannot be read`, { file, cause });
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

/** What runs is ended and keeps what it trained; if that takes too long, the process ends all the same. */
async function stop(server: BridgeServer, io: Io): Promise<void> {
  const late = setTimeout(() => {
    io.log.line('stopping took too long; the last checkpoint is what is kept');
    process.exit(EXIT_FAILURE);
  }, STOP_MS);
  await server.stop();
  clearTimeout(late);
  io.log.line('stopped');
}
