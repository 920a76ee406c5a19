/** @file What happens to a training in the real ComfyUI when it is interrupted, or a process dies in the middle of it. */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { tempFolder } from '../support/temp-folder.ts';
import { type ComfyClient, type Frame, type Prompt, progressText } from './comfy-client.ts';
import { ComfyUi, NO_COMFYUI, PACK } from './comfyui.ts';
import { promptOf, SMALL_2D } from './prompts.ts';

/** How long a server may live after ComfyUI. */
const CHILD_END_MS = 5000;

/** More steps than a test waits for. */
const ENDLESS = 1_000_000;

describe.skipIf(NO_COMFYUI)('a distillation', () => {
  let comfy: ComfyUi;

  beforeAll(async () => {
    comfy = await ComfyUi.start();
  });

  afterAll(async () => {
    await comfy[Symbol.asyncDispose]();
  });

  test('that is interrupted leaves a checkpoint, says where, and goes on when it is queued again', async () => {
    using client = await comfy.connect();
    const id = await client.queue(await distillPrompt('interrupted', ENDLESS));
    await reached(client, 30);
    await client.post('/interrupt', {});
    await client.ended(id);
    const { status } = await client.entry(id);
    expect(status.messages.at(-1)?.[0]).toBe('execution_interrupted');
    const step = lastCheckpoint(comfy, 'interrupted');
    expect(step).toBeGreaterThanOrEqual(30);
    expect(textsOf(client)).toContainEqual(
      expect.stringContaining(join(comfy.folder, 'output/runs/interrupted')),
    );

    using again = await comfy.connect();
    const { entry } = await again.run(await distillPrompt('interrupted', step + 20));
    expect(entry.status.status_str).toBe('success');
    expect(textsOf(again)).toContain(`run interrupted goes on after step ${step}`);
  });

  test('whose server is killed goes on in another one, from its last checkpoint', async () => {
    using client = await comfy.connect();
    const steps = 400;
    const inputs = { checkpoint_every: 50 };
    const id = await client.queue(await distillPrompt('killed', steps, inputs));
    await reached(client, 60);
    const server = serverOf(comfy, 'killed');
    process.kill(server, 'SIGKILL');
    await client.ended(id);
    expect((await client.entry(id)).status.status_str).toBe('success');
    const texts = textsOf(client);
    expect(texts).toContain('The Flowstep server was started again; the run goes on.');
    expect(texts).toContainEqual(expect.stringMatching(/^run killed goes on after step \d+$/));

    const { entry } = await client.run(await distillPrompt('whole', steps, inputs));
    expect(entry.status.status_str).toBe('success');
    const student = (run: string) =>
      readFile(join(comfy.folder, 'output/runs', run, 'student.safetensors'));
    expect((await student('killed')).equals(await student('whole'))).toBe(true);
  });

  test('whose ComfyUI is killed leaves a checkpoint, and its server ends within 5 seconds', async () => {
    const { folder } = comfy;
    const client = await comfy.connect();
    await client.queue(await distillPrompt('orphan', ENDLESS));
    await reached(client, 30);
    const server = serverOf(comfy, 'orphan');
    const start = performance.now();
    await comfy.kill('SIGKILL');
    while (isAlive(server) && performance.now() - start < 2 * CHILD_END_MS) await sleep(20);
    const took = performance.now() - start;
    console.info(`the server ended ${Math.round(took)} ms after ComfyUI was killed`);
    expect(took).toBeLessThan(CHILD_END_MS);
    const step = lastCheckpoint(comfy, 'orphan');
    expect(step).toBeGreaterThanOrEqual(30);

    comfy = await ComfyUi.start({ folder });
    using again = await comfy.connect();
    const { entry } = await again.run(await distillPrompt('orphan', step + 20));
    expect(entry.status.status_str).toBe('success');
    expect(textsOf(again)).toContain(`run orphan goes on after step ${step}`);
  });
});

test.skipIf(NO_COMFYUI)(
  'a distillation on a remote server waits for it when it is gone, and goes on',
  async () => {
    const work = await tempFolder();
    const token = randomBytes(32).toString('hex');
    const first = await startServer(work, token);
    const environment = { FLOWSTEP_URL: first.url, FLOWSTEP_TOKEN: token };
    await using comfy = await ComfyUi.start({ environment });
    using client = await comfy.connect();
    const id = await client.queue(await distillPrompt('far', 300, { checkpoint_every: 50 }));
    await reached(client, 60);
    await first.kill();
    await client.until(
      (frame) => textOf(frame) === 'Waiting for the Flowstep server to come back.',
    );
    const second = await startServer(work, token, new URL(first.url).port);
    await client.ended(id);
    await second.kill();
    expect((await client.entry(id)).status.status_str).toBe('success');
    expect(textsOf(client)).toContainEqual(
      expect.stringMatching(/^run far goes on after step \d+$/),
    );
  },
);

/** `flowstep serve` in a folder, by itself. */
async function startServer(
  folder: string,
  token: string,
  port = '0',
): Promise<{ url: string; kill(): Promise<void> }> {
  const child = spawn(process.execPath, [join(PACK, 'dist/main.js'), 'serve', '--port', port], {
    cwd: folder,
    env: { ...process.env, FLOWSTEP_TOKEN: token },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  const { url } = JSON.parse(line.toString()) as { url: string };
  return {
    url,
    async kill() {
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}

/** The small workflow, whose distillation is the run `name` and has checkpoints only where `inputs` says so. */
async function distillPrompt(name: string, steps: number, inputs: object = {}): Promise<Prompt> {
  const all = { run_name: name, steps, checkpoint_every: 0, sample_every: 0, ...inputs };
  const overrides = Object.entries(all).map(([input, value]) => `FGM Distill.${input}=${value}`);
  return promptOf('fgm-2d.json', [...SMALL_2D, ...overrides]);
}

/** Waits until a training of `ENDLESS` or many steps has come so far; the teacher's is shorter. */
async function reached(client: ComfyClient, step: number): Promise<void> {
  await client.until(
    ({ type, data }) =>
      type === 'flowstep.metrics' && Number(data['steps']) > 60 && Number(data['step']) >= step,
  );
}

/** Lines that nodes have shown. */
function textsOf(client: ComfyClient): string[] {
  return client.frames.flatMap((frame) => textOf(frame)?.split('\n') ?? []);
}

function textOf(frame: Frame): string | undefined {
  return frame.type === 'binary text' ? progressText(frame).text : undefined;
}

/** Step of the newest checkpoint of a run. */
function lastCheckpoint(comfy: ComfyUi, run: string): number {
  const names = readdirSync(join(comfy.folder, 'output/runs', run)).sort();
  const steps = names.map((name) => /^checkpoint-(\d+)\.safetensors$/.exec(name)?.[1]);
  return Number(steps.filter(Boolean).at(-1) ?? 0);
}

/** The process that has the run's folder. */
function serverOf(comfy: ComfyUi, run: string): number {
  const lock = readFileSync(join(comfy.folder, 'output/runs', run, 'lock'), 'utf8');
  return (JSON.parse(lock) as { pid: number }).pid;
}

/** False as well for one that has ended and that nobody has asked for its status. */
function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2)[0] !== 'Z';
  } catch {
    return false;
  }
}
