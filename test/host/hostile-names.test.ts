/**
 * Five hundred hostile names in every input that can name a file. What lies outside the configured
 * folders is all valid (models, pictures, statistics), so that anything which is read shows as success.
 */
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative, resolve } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { NodeHost } from '../../src/bridge/protocol/node-host.ts';
import { FlowstepError } from '../../src/errors.ts';
import { nodeHost } from '../../src/host/node-host.ts';
import { allNodes } from '../../src/nodes/all-nodes.ts';
import { isInside } from '../../src/nodes/root-files.ts';
import { writeSafetensors } from '../../src/trainer/files/safetensors.ts';
import { saveModel } from '../../src/trainer/run/model-file.ts';
import { float32 } from '../../src/trainer/tensor.ts';
import { rootsIn } from '../nodes/support.ts';
import { TINY_MLP, tinyModel } from '../support/tiny-models.ts';
import { hostileNames } from './hostile-name-list.ts';

const CANARY = 'CANARY-4f1d';

/** Files outside, by what they would be taken for. */
const MODEL = 'secret.safetensors';
const LATENTS = 'latents.safetensors';
const PICTURES = 'pictures';
const IDX = 'secret.idx';
const STATS = 'stats.jsonl';
const TARGETS = [MODEL, LATENTS, PICTURES, IDX, STATS, '', 'new'];

interface Site {
  readonly base: string;
  readonly outside: string;
  readonly output: string;
  readonly host: NodeHost;
  /** Handles that are as they should be. */
  readonly model: Record<string, unknown>;
  readonly points: unknown;
  readonly hashes: Readonly<Record<string, string>>;
}

let site: Site;
let names: string[];

beforeAll(async () => {
  const base = await mkdtemp(join(tmpdir(), 'flowstep-'));
  const outside = join(base, 'outside');
  await mkdir(join(outside, PICTURES), { recursive: true });
  await saveModel(join(outside, MODEL), tinyModel(TINY_MLP));
  const samples = float32(
    Float32Array.from({ length: 8 }, (_, i) => i),
    [4, 2],
  );
  await writeSafetensors(join(outside, LATENTS), new Map([['latents', samples]]));
  const picture = sharp({ create: { width: 4, height: 4, channels: 3, background: '#f00' } });
  await picture.png().toFile(join(outside, PICTURES, 'secret.png'));
  await writeFile(join(outside, PICTURES, 'secret.txt'), CANARY);
  await writeFile(
    join(outside, IDX),
    Buffer.from([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8]),
  );
  const line = { step: 1, metrics: { [`loss/${CANARY}`]: 1 } };
  await writeFile(join(outside, STATS), `${JSON.stringify(line)}\n`);
  const roots = await rootsIn(base);
  for (const folder of Object.values(roots)) {
    // A link inside a root that leads out of it, and one to each file.
    await symlink(outside, join(folder, 'link'));
    for (const target of [MODEL, LATENTS, PICTURES, IDX, STATS]) {
      await symlink(join(outside, target), join(folder, `linked-${target}`));
    }
  }
  await saveModel(join(roots.models, 'good.safetensors'), tinyModel(TINY_MLP));
  const hashes: Record<string, string> = {};
  for (const name of [MODEL, LATENTS, IDX, STATS]) hashes[name] = await sha256(join(outside, name));
  const model = {
    type: 'FLOW_MODEL',
    root: 'models',
    path: 'good.safetensors',
    sha256: await sha256(join(roots.models, 'good.safetensors')),
  };
  const { output } = roots;
  const host = nodeHost(allNodes(), roots);
  const { signal } = new AbortController();
  const made = await host.execute({ node: 'FlowstepDataset', inputs: {}, signal }, SILENT);
  const points = made.outputs['dataset'];
  site = { base, outside, output, host, model, points, hashes };
  names = hostileNames(outside, TARGETS);
});

afterAll(() => rm(site.base, { recursive: true, force: true }));

async function sha256(file: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(file))
    .digest('hex');
}

interface PathInput {
  readonly node: string;
  readonly field: string;
  /** False where a run that ends well need not have read what was named. */
  readonly reads: boolean;
  /** Code of the error by which a file of the wrong kind would show that it was read. */
  readonly seen?: string;
  inputs(name: string): Record<string, unknown>;
}

const ref = (file: string, path: string, root = 'data') => ({
  root,
  path,
  sha256: site.hashes[file],
});
const fileOf = (file: string, path: string) => ({
  type: 'FLOW_MODEL',
  ...ref(file, path, 'models'),
});
const picture = () => ({ dtype: 'float32', shape: [1, 1, 1, 3], data: new Float32Array(3) });
const dataset = (members: object) => ({ type: 'FLOW_DATASET', hash: '0', ...members });
const online = (members: object) => ({
  type: 'ONLINE_FLOW',
  teacher: site.model['sha256'],
  options: {
    init: 'teacher',
    updates: 1,
    learningRate: 0.001,
    density: { kind: 'uniform', min: 0, max: 1 },
  },
  ...members,
});
const training = { steps: 1, batch: 2, warmup: 0, sample_every: 0 };
const train = (members: object) => ({ dataset: site.points, ...training, ...members });
const evaluate = (members: object) => ({
  ...{ model: site.model, dataset: site.points, count: 2, draws: 1, steps: '1', ...members },
});
const latents = (path: string) => dataset({ kind: 'latents', file: ref(LATENTS, path) });

const reader = (
  node: string,
  field: string,
  inputs: (name: string) => Record<string, unknown>,
): PathInput => ({ node, field, reads: true, inputs });
const writer = (
  node: string,
  field: string,
  inputs: (name: string) => Record<string, unknown>,
): PathInput => ({ node, field, reads: false, inputs });
const trainOn = (field: string, members: (name: string) => object) =>
  reader('FlowstepTrainTeacher', `dataset ${field}`, (name) => ({
    dataset: dataset(members(name)),
    ...training,
  }));

const prompts = (path: string) => ({ type: 'FLOW_PROMPTS', ...ref(MODEL, path) });
const lora = (path: string) => ({
  ...site.model,
  loras: [{ file: ref(MODEL, path, 'models'), strength: 1 }],
});

const INPUTS: readonly PathInput[] = [
  reader('FlowstepLoadModel', 'file', (file) => ({ file })),
  {
    ...reader('FlowstepLoadModel', 'lora', (name) => ({ file: 'good.safetensors', lora: name })),
    seen: 'MODEL_INVALID',
  },
  {
    ...reader('FlowstepOneStepSampler', 'model with a LoRA', (path) => ({ model: lora(path) })),
    seen: 'MODEL_INVALID',
  },
  {
    ...reader('FlowstepPromptSet', 'file', (file) => ({ file })),
    seen: 'FILE_FORMAT',
  },
  ...[
    ['FlowstepPromptSet', () => ({})] as const,
    ['FlowstepOneStepSampler', () => ({ model: site.model, count: 1 })] as const,
    ['FlowstepTeacherSampler', () => ({ model: site.model, count: 1, steps: 1 })] as const,
    ['FlowstepTrainTeacher', () => ({ dataset: site.points, ...training })] as const,
    ['FlowstepDistill', () => ({ teacher: site.model, online: online({}), ...training })] as const,
    ['FlowstepEvaluate', () => evaluate({})] as const,
  ].map(([node, inputs]) => ({
    ...reader(node, 'prompts', (path) => ({ ...inputs(), prompts: prompts(path) })),
    seen: 'FILE_FORMAT',
  })),
  reader('FlowstepDataset', 'images', (images) => ({ source: 'idx', images })),
  reader('FlowstepDataset', 'folder', (folder) => ({ source: 'folder', folder, size: 4 })),
  reader('FlowstepDataset', 'file', (file) => ({ source: 'latents', file })),
  reader('FlowstepDataset', 'labels', (labels) => ({ source: 'idx', images: labels, labels })),
  trainOn('images of idx', (path) => ({ kind: 'idx', images: ref(IDX, path) })),
  trainOn('folder', (folder) => ({
    kind: 'folder',
    folder,
    size: 4,
    channels: 'rgb',
    classes: 'none',
    captions: 'none',
  })),
  trainOn('file of images', (path) => ({ kind: 'images', file: ref(LATENTS, path, 'output') })),
  trainOn('file of latents', (path) => ({ kind: 'latents', file: ref(LATENTS, path) })),
  reader('FlowstepOneStepSampler', 'model', (path) => ({ model: fileOf(MODEL, path), count: 1 })),
  reader('FlowstepTeacherSampler', 'model', (path) => ({
    model: fileOf(MODEL, path),
    count: 1,
    steps: 1,
  })),
  // It names the teacher by its hash and does not open it.
  writer('FlowstepOnlineFlow', 'teacher', (path) => ({ teacher: fileOf(MODEL, path) })),
  {
    ...reader('FlowstepOnlineFlow', 'model', (path) => ({
      teacher: site.model,
      model: fileOf(MODEL, path),
    })),
    seen: 'MODEL_INVALID',
  },
  reader('FlowstepDistill', 'teacher', (path) => ({
    teacher: fileOf(MODEL, path),
    online: online({}),
    ...training,
  })),
  reader('FlowstepDistill', 'online', (path) => ({
    teacher: site.model,
    online: online({ weights: ref(MODEL, path, 'output') }),
    ...training,
  })),
  reader('FlowstepDistill', 'student', (path) => ({
    teacher: site.model,
    online: online({}),
    student: fileOf(MODEL, path),
    ...training,
  })),
  reader('FlowstepDistill', 'dataset', (path) => ({
    teacher: site.model,
    online: online({}),
    dataset: dataset({ kind: 'latents', file: ref(LATENTS, path) }),
    real_alpha: 0.9,
    real_beta: 0.95,
    ...training,
  })),
  reader('FlowstepTrainTeacher', 'start', (path) => train({ start: fileOf(MODEL, path) })),
  reader('FlowstepTrainTeacher', 'evaluate_data', (path) =>
    train({ evaluate_data: latents(path), evaluate_every: 1 }),
  ),
  reader('FlowstepDistill', 'evaluate_data', (path) => ({
    teacher: site.model,
    online: online({}),
    evaluate_data: latents(path),
    evaluate_every: 1,
    ...training,
  })),
  reader('FlowstepEvaluate', 'model', (path) => evaluate({ model: fileOf(MODEL, path) })),
  reader('FlowstepEvaluate', 'teacher', (path) => evaluate({ teacher: fileOf(MODEL, path) })),
  reader('FlowstepEvaluate', 'dataset', (path) => evaluate({ dataset: latents(path) })),
  ...[
    [
      'FlowstepTrainTeacher',
      () => ({ dataset: site.points, evaluate_every: 1, ...training }),
    ] as const,
    [
      'FlowstepDistill',
      () => ({
        teacher: site.model,
        online: online({}),
        evaluate_every: 1,
        evaluate_data: site.points,
        ...training,
      }),
    ] as const,
    ['FlowstepEvaluate', () => evaluate({})] as const,
  ].map(([node, inputs]) => ({
    ...reader(node, 'features', (features) => ({ ...inputs(), features })),
    seen: 'FILE_FORMAT',
  })),
  reader('FlowstepLossPlot', 'report', (path) => ({
    report: { type: 'FLOW_REPORT', title: 't', ...ref(STATS, path, 'output') },
  })),
  reader('FlowstepSaveModel', 'model', (path) => ({ model: fileOf(MODEL, path) })),
  writer('FlowstepSaveModel', 'filename_prefix', (filename_prefix) => ({
    model: site.model,
    filename_prefix,
  })),
  writer('SaveImage', 'filename_prefix', (filename_prefix) => ({
    images: picture(),
    filename_prefix,
  })),
  writer('FlowstepTrainTeacher', 'run_name', (run_name) => ({
    dataset: site.points,
    run_name,
    ...training,
  })),
  writer('FlowstepDistill', 'run_name', (run_name) => ({
    teacher: site.model,
    online: online({}),
    run_name,
    ...training,
  })),
];

/** Texts that name no file. */
const NO_PATHS = [
  'FlowstepLoadModel.sha256',
  'FlowstepLoadModel.made_by',
  'FlowstepLossPlot.metrics',
  'FlowstepOnlineFlow.lora_targets',
  'FlowstepDistill.lora_targets',
  'FlowstepEvaluate.metrics',
  'FlowstepEvaluate.steps',
  'FlowstepEvaluate.solvers',
];

/** Link types whose values are handles, which name files. */
const HANDLES = ['FLOW_MODEL', 'FLOW_DATASET', 'ONLINE_FLOW', 'FLOW_PROMPTS', 'FLOW_REPORT'];

test('every input that can name a file is in the list', () => {
  const listed = new Set(INPUTS.map((i) => `${i.node}.${i.field.split(' ')[0]}`));
  const wanted = site.host
    .definitions()
    .flatMap((node) =>
      node.inputs
        .filter((input) => input.type === 'STRING' || HANDLES.includes(input.type))
        .map((input) => `${node.id}.${input.name}`),
    );
  expect([...listed].sort()).toEqual(wanted.filter((name) => !NO_PATHS.includes(name)).sort());
  expect(names).toHaveLength(500);
  expect(new Set(names).size).toBe(500);
});

/** Everything below a folder but the output folder, with size and time of change; links are not followed. */
async function treeOf(folder: string, skip?: string): Promise<string[]> {
  const lines: string[] = [];
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (path === skip) continue;
    if (entry.isDirectory()) lines.push(...(await treeOf(path, skip)));
    else if (entry.isSymbolicLink()) lines.push(`${relative(site.base, path)} ->`);
    else {
      const { size, mtimeMs } = await stat(path);
      lines.push(`${relative(site.base, path)} ${size} ${mtimeMs}`);
    }
  }
  return lines.sort();
}

test('the names would be read if they were allowed: inside, the same kinds of files are', async () => {
  const { signal } = new AbortController();
  const { outputs } = await site.host.execute(
    { node: 'FlowstepLoadModel', inputs: { file: 'good.safetensors' }, signal },
    SILENT,
  );
  expect(outputs['model']).toEqual(site.model);
});

const SILENT = { progress() {}, metrics() {}, preview() {}, text() {} };

test.each(INPUTS.map((input) => [`${input.node}: ${input.field}`, input] as const))(
  '%s leads out of the folders by none of 500 names',
  async (_, { node, inputs, reads, seen }) => {
    const before = await treeOf(site.base, site.output);
    const { signal } = new AbortController();
    const wrong: unknown[] = [];
    for (const name of names) {
      try {
        const outcome = await site.host.execute({ node, inputs: inputs(name), signal }, SILENT);
        const written = outcome.files.every((file) =>
          isInside(site.output, resolve(site.output, file)),
        );
        if (reads || !written) wrong.push([name.slice(0, 100), outcome.files]);
      } catch (error) {
        const isCoded = error instanceof FlowstepError && error.kind !== 'bug';
        if (!isCoded || error.code === seen || error.message.includes(CANARY))
          wrong.push([name.slice(0, 100), String(error).slice(0, 200)]);
      }
    }
    expect(wrong).toEqual([]);
    expect(await treeOf(site.base, site.output)).toEqual(before);
  },
);

test.each(['run', 'runs'])(
  'nothing is written through a link in place of the folder %s',
  async (what) => {
    const runs = join(site.output, 'runs');
    await rm(runs, { recursive: true, force: true });
    if (what === 'run') await mkdir(runs);
    await symlink(site.outside, what === 'run' ? join(runs, 'leak') : runs);
    const before = await treeOf(site.outside);
    const { signal } = new AbortController();
    await expect(
      site.host.execute(
        {
          node: 'FlowstepTrainTeacher',
          inputs: { dataset: site.points, run_name: 'leak', ...training },
          signal,
        },
        SILENT,
      ),
    ).rejects.toMatchObject({ code: 'FILE_UNWRITABLE' });
    expect(await treeOf(site.outside)).toEqual(before);
  },
);
