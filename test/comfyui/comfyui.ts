/** @file The real ComfyUI as a process of a test: where it is, how it starts with the pack, how it ends. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, open, readFile, rm, symlink } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { ComfyClient } from './comfy-client.ts';

/** The pack: this repository. */
export const PACK = fileURLToPath(new URL('../../', import.meta.url));

/** What installs a pinned ComfyUI, where it lies beside the checkout. */
export const PEER = join(PACK, '../shared/comfyui');

/** The first boot compiles every module to byte code. */
const BOOT_MS = 180_000;

/** Why there is no ComfyUI to test against; undefined when there is one, or it can be installed. */
export const NO_COMFYUI =
  process.env['COMFYUI_DIR'] || existsSync(join(PEER, 'install.sh'))
    ? undefined
    : 'neither COMFYUI_DIR nor ../shared/comfyui is there';

/** The folder with ComfyUI and its venv; installs it once (minutes, 5 GB) unless COMFYUI_DIR names one. */
export function installedComfyUi(): string {
  const named = process.env['COMFYUI_DIR'];
  if (named) return named;
  const folder = join(tmpdir(), 'flowstep-comfyui');
  execFileSync('sh', [join(PEER, 'install.sh'), folder], { stdio: 'inherit' });
  return folder;
}

export interface ComfyUiOptions {
  /** Added to the environment. */
  readonly environment?: Readonly<Record<string, string>>;
  /** More packs than this repository. */
  readonly packs?: readonly string[];
  /** The base folder of one that ran before; default: a new one. */
  readonly folder?: string;
  /** The port of one that ran before, for pages that wait for it; default: a free one. */
  readonly port?: number;
}

export class ComfyUi implements AsyncDisposable {
  /** Such as http://127.0.0.1:8188. */
  readonly url: string;
  /** With the folders models, input, output, temp and user. */
  readonly folder: string;
  readonly #process: ChildProcess;

  private constructor(url: string, folder: string, process: ChildProcess) {
    this.url = url;
    this.folder = folder;
    this.#process = process;
  }

  /** Starts one with the pack on a free port; returns when it answers. */
  static async start(options: ComfyUiOptions = {}): Promise<ComfyUi> {
    const installed = installedComfyUi();
    const folder = options.folder ?? (await mkdtemp(join(tmpdir(), 'flowstep-comfyui-run-')));
    await linkPacks(folder, [PACK, ...(options.packs ?? [])]);
    const port = options.port ?? (await freePort());
    const log = await open(join(folder, 'comfy.log'), 'a');
    const child = spawn(join(installed, 'venv/bin/python'), commandLine(port, folder), {
      cwd: join(installed, 'ComfyUI'),
      env: {
        ...process.env,
        PYTHONPYCACHEPREFIX: join(installed, 'pycache'),
        PYTHONUNBUFFERED: '1',
        HF_HUB_OFFLINE: '1',
        ...options.environment,
      },
      stdio: ['ignore', log.fd, log.fd],
    });
    await log.close();
    const comfy = new ComfyUi(`http://127.0.0.1:${port}`, folder, child);
    await comfy.#answers();
    return comfy;
  }

  /** A client of its own: events of the prompts that it queues come to it. */
  connect(flags?: object): Promise<ComfyClient> {
    return ComfyClient.connect(this.url, flags);
  }

  log(): Promise<string> {
    return readFile(join(this.folder, 'comfy.log'), 'utf8');
  }

  /** Ends the process and waits for that. */
  async kill(signal: NodeJS.Signals): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const ended = new Promise((resolve) => this.#process.once('exit', resolve));
    this.#process.kill(signal);
    await ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill('SIGKILL');
    await rm(this.folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
  }

  async #answers(): Promise<void> {
    const end = Date.now() + BOOT_MS;
    while (Date.now() < end && this.#process.exitCode === null) {
      const response = await fetch(`${this.url}/system_stats`).catch(() => undefined);
      if (response?.ok) return;
      await sleep(100);
    }
    throw new Error(`ComfyUI did not start:\n${(await this.log()).slice(-4000)}`);
  }
}

function commandLine(port: number, folder: string): string[] {
  const flags = ['--cpu', '--disable-auto-launch', '--disable-api-nodes', '--log-stdout'];
  const values = {
    listen: '127.0.0.1',
    port,
    'base-directory': folder,
    'database-url': `sqlite:///${folder}/user/comfyui.db`,
  };
  return ['main.py', ...flags, ...Object.entries(values).flatMap(([k, v]) => [`--${k}`, `${v}`])];
}

async function linkPacks(folder: string, packs: readonly string[]): Promise<void> {
  for (const name of ['custom_nodes', 'input', 'output', 'temp', 'user', 'models']) {
    await mkdir(join(folder, name), { recursive: true });
  }
  for (const pack of packs) {
    const link = join(folder, 'custom_nodes', basename(pack));
    if (!existsSync(link)) await symlink(pack, link);
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}
