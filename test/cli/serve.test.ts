/** `flowstep serve` as a process: address, token, parent, stopping, TLS. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { Client, type ClientOptions } from '../bridge/support.ts';
import { selfSigned } from '../support/certificate.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { callCli } from './support.ts';

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
const TOKEN = 'token-of-the-serve-tests-77';

interface Started {
  readonly child: ChildProcess;
  readonly folder: string;
  /** The line of JSON on stdout. */
  readonly address: { url: string; ws: string; pid: number; version: string; device: string };
  /** Exit code, or the signal that killed it. */
  readonly exit: Promise<number | string | null>;
  output(): string;
}

/** A server of its own; it is killed when the test has finished. */
async function serve(
  args: readonly string[],
  { environment = {}, stdin }: { environment?: Record<string, string>; stdin?: string } = {},
): Promise<Started> {
  const folder = await tempFolder();
  const child = spawn(
    process.execPath,
    ['--import', tsx, main, 'serve', '--device', 'cpu', ...args],
    {
      cwd: folder,
      env: { PATH: process.env['PATH'], TMPDIR: folder, FLOWSTEP_OUTPUT: 'output', ...environment },
      stdio: ['pipe', 'pipe', 'pipe'],
    },
  );
  onTestFinished(() => void child.kill('SIGKILL'));
  let output = '';
  const add = (text: string) => {
    output += text;
  };
  child.stderr.setEncoding('utf8').on('data', add);
  if (stdin !== undefined) child.stdin.write(stdin);
  const exit = new Promise<number | string | null>((resolve) => {
    child.once('exit', (code, signal) => resolve(code ?? signal));
  });
  const line = await new Promise<string>((resolve, reject) => {
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (part: string) => {
      add(part);
      text += part;
      if (text.includes('\n')) resolve(text.split('\n')[0] ?? '');
    });
    void exit.then(() => reject(new Error(output)));
  });
  return { child, folder, address: JSON.parse(line), exit, output: () => output };
}

async function greeted({ address }: Started, options: ClientOptions = {}): Promise<Client> {
  const client = new Client(address.ws, { token: TOKEN, ...options });
  await client.opened();
  client.send({ type: 'hello', protocol: 1, client: { name: 'test', version: '0' } });
  await client.until((m) => 'type' in m && m.type === 'hello');
  return client;
}

/** A training run that would take hours, under way. */
async function training(server: Started): Promise<Client> {
  const client = await greeted(server);
  client.execute('data', 'FlowstepDataset', { source: '8g' });
  const data = await client.end('data');
  const dataset = 'outputs' in data ? data.outputs['dataset'] : undefined;
  const inputs = { dataset, steps: 10_000_000, batch: 4, run_name: 'long', sample_every: 0 };
  client.execute('train', 'FlowstepTrainTeacher', inputs);
  await client.until((m) => 'type' in m && m.type === 'progress');
  return client;
}

async function checkpoints({ folder }: Started): Promise<string[]> {
  const files = await readdir(join(folder, 'output', 'runs', 'long'));
  return files.filter((name) => name.startsWith('checkpoint-'));
}

test('a server that may choose its device tries each elsewhere, and says why: once in its log, and in nodes', async () => {
  const server = await serve(['--device', 'auto'], { environment: { FLOWSTEP_TOKEN: TOKEN } });
  const { device } = server.address;
  expect(device).toMatch(/^(cpu|webgpu|cuda)$/);
  const client = await training(server);
  const lines = server.output().match(/^device .+$/gm) ?? [];
  expect(lines).toEqual([expect.stringMatching(`^device ${device}: .`)]);
  expect(
    client.received.flatMap((m) => ('type' in m && m.type === 'text' ? [m.text] : [])),
  ).toEqual(lines);
});

describe('a server started by a parent', () => {
  test('tells its address, keeps the token to itself, and ends with the parent', async () => {
    const server = await serve(['--token-stdin'], { stdin: `${TOKEN}\n` });
    const { child, address } = server;
    expect(address).toEqual({
      url: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/),
      ws: expect.stringMatching(/^ws:\/\/127\.0\.0\.1:\d+\/ws$/),
      pid: child.pid,
      version: expect.stringMatching(/^\d/),
      device: 'cpu',
    });
    const client = await training(server);
    const wrong = await fetch(`${address.url}/nodes`, { headers: { Authorization: 'Bearer no' } });
    expect(wrong.status).toBe(401);
    if (process.platform === 'linux') {
      const command = readFileSync(`/proc/${child.pid}/cmdline`, 'utf8');
      expect(command).toContain('serve');
      expect(command).not.toContain(TOKEN);
      expect(readFileSync(`/proc/${child.pid}/environ`, 'utf8')).not.toContain(TOKEN);
    }
    const start = performance.now();
    // What happens to the pipe when the parent is killed.
    child.stdin?.destroy();
    expect(await server.exit).toBe(0);
    expect(performance.now() - start).toBeLessThan(5000);
    expect(await client.end('train')).toMatchObject({ code: 'INTERRUPTED' });
    expect(await checkpoints(server)).toHaveLength(1);
    expect(server.output()).not.toContain(TOKEN);
    // Nor is a file left.
    expect(readdirSync(server.folder).filter((name) => name.startsWith('flowstep-'))).toEqual([]);
  });
});

describe('a server started by hand', () => {
  test.each(['SIGTERM', 'SIGINT'] as const)('stops in order on %s', async (signal) => {
    const server = await serve(['--port', '0'], { environment: { FLOWSTEP_TOKEN: TOKEN } });
    const client = await training(server);
    server.child.kill(signal);
    expect(await server.exit).toBe(0);
    expect(await client.end('train')).toMatchObject({ code: 'INTERRUPTED' });
    expect(await checkpoints(server)).toHaveLength(1);
    expect(server.output()).not.toContain(TOKEN);
  });

  test('is reached by TLS with a certificate of files', async () => {
    const { certFile, keyFile, cert } = await selfSigned();
    const args = ['--listen', '0.0.0.0', '--tls-cert', certFile, '--tls-key', keyFile];
    const server = await serve(args, { environment: { FLOWSTEP_TOKEN: TOKEN } });
    expect(server.address.ws).toMatch(/^wss:/);
    await expect(greeted(server)).rejects.toThrow('self-signed certificate');
    const client = await greeted(server, { ca: cert });
    client.execute('data', 'FlowstepDataset', { source: '8g' });
    expect(await client.end('data')).toMatchObject({ type: 'result' });
  });

  test('needs a token, and says how to make one', async () => {
    const { code, stdout, stderr } = await callCli(['serve']);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain('openssl rand -hex 32');
  });

  test.each([
    [['--listen', '0.0.0.0'], '--insecure'],
    [['--tls-cert', 'cert.pem'], 'given together'],
    [['--port', '65536'], 'from 0 to 65535'],
  ])('refuses %j', async (args, text) => {
    const { code, stderr } = await callCli(['serve', ...args], { FLOWSTEP_TOKEN: TOKEN });
    expect(code).toBe(2);
    expect(stderr).toContain(text);
    expect(stderr).not.toContain(TOKEN);
  });

  test('refuses a token that could be guessed without repeating it', async () => {
    const { code, stderr } = await callCli(['serve'], { FLOWSTEP_TOKEN: 'guess-me' });
    expect(code).toBe(2);
    expect(stderr).not.toContain('guess-me');
  });
});
