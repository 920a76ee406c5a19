/** @file Every shipped workflow that needs no ComfyUI runs to its end at a small size, and its pictures run again. */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import { readRoots } from '../src/config.ts';
import type { NodeRun } from '../src/host/executor.ts';
import { ResultCache } from '../src/host/result-cache.ts';
import { runWorkflowFile } from '../src/host/run-file.ts';
import { allNodes } from '../src/nodes/all-nodes.ts';
import { readPngText } from '../src/nodes/pictures/png-text.ts';
import { SongUNetConfigSchema } from '../src/trainer/nn/config.ts';
import { saveModel } from '../src/trainer/run/model-file.ts';
import { tempFolder } from './support/temp-folder.ts';
import { tinyModel } from './support/tiny-models.ts';

const folder = fileURLToPath(new URL('../workflows/', import.meta.url));
const models = fileURLToPath(new URL('../models/', import.meta.url));
/** Those for Stable Diffusion 3 need ComfyUI's text encoders, and run in its tests. */
const names = (await readdir(folder)).filter((name) => /^(?!sd3-).*\.json$/.test(name));

/** What makes a workflow small: only numbers of steps, samples and the like. */
const SMALL_RUNS: Readonly<Record<string, readonly string[]>> = {
  'cifar10-sid.json': [
    'FGM Distill.sample_every=0',
    'FGM Distill.steps=2',
    'FGM Distill.batch=2',
    'One-Step Sampler.count=3',
    'Flow Sampler.count=2',
    'Flow Sampler.steps=2',
  ],
  'cifar10-uid.json': [
    'Train Flow Teacher.network=song-unet-s',
    'Train Flow Teacher.sample_every=0',
    'Train Flow Teacher.steps=2',
    'Train Flow Teacher.batch=2',
    'FGM Distill.sample_every=0',
    'FGM Distill.steps=2',
    'FGM Distill.batch=2',
    'Online Flow.updates=2',
    'One-Step Sampler.count=3',
    'Flow Sampler.count=2',
    'Flow Sampler.steps=2',
  ],
  'fashion-distill.json': [
    'FGM Distill.sample_every=0',
    'FGM Distill.steps=2',
    'FGM Distill.batch=2',
    'FGM Distill.warmup=0',
    'One-Step Sampler.count=3',
    'Flow Sampler.count=2',
    'Flow Sampler.steps=2',
  ],
  'fashion-one-step.json': ['One-Step Sampler.count=12'],
  'fashion-teacher.json': [
    'Train Flow Teacher.sample_every=0',
    'Train Flow Teacher.steps=2',
    'Train Flow Teacher.batch=2',
    'Train Flow Teacher.warmup=0',
    'Flow Sampler.count=2',
    'Flow Sampler.steps=2',
  ],
  'evaluate-2d.json': [
    'Train Flow Teacher.steps=3',
    'Train Flow Teacher.batch=8',
    'Train Flow Teacher.warmup=0',
    'FGM Distill.steps=4',
    'FGM Distill.batch=8',
    'FGM Distill.evaluate_every=2',
    'FGM Distill.evaluate_count=20',
    'Evaluate Flow.count=20',
    'Evaluate Flow.draws=1',
    'Evaluate Flow.steps=1,2',
  ],
  'few-steps-2d.json': [
    'Train Flow Teacher.steps=3',
    'Train Flow Teacher.batch=8',
    'Train Flow Teacher.warmup=0',
    'FGM Distill.steps=4',
    'FGM Distill.batch=8',
    'Four steps.count=20',
    'Stopped after one.count=20',
  ],
  'train-on-folder.json': [
    'Train Flow Teacher.sample_every=0',
    'Flow Dataset.size=8',
    'Train Flow Teacher.steps=2',
    'Train Flow Teacher.batch=2',
    'Train Flow Teacher.warmup=0',
    'Flow Sampler.count=2',
    'Flow Sampler.steps=2',
  ],
  'fgm-2d.json': [
    'Train Flow Teacher.steps=3',
    'Train Flow Teacher.batch=8',
    'Train Flow Teacher.warmup=0',
    'FGM Distill.steps=3',
    'FGM Distill.batch=8',
    'Flow Sampler.count=20',
    'Flow Sampler.steps=2',
    'One-Step Sampler.count=20',
  ],
};

test('every workflow has a small run here', () => {
  expect(Object.keys(SMALL_RUNS).sort()).toEqual([...names].sort());
});

const PIXELS = 28 * 28;
const PICTURES = 40;

/** An idx file of bytes: its header, then the content. */
function idx(shape: readonly number[], content: Uint8Array): Buffer {
  const header = Buffer.from([
    0,
    0,
    8,
    shape.length,
    ...shape.flatMap((d) => [0, 0, d >> 8, d & 255]),
  ]);
  return Buffer.concat([header, content]);
}

/** A data folder with few pictures under the names of Fashion-MNIST and CIFAR-10, so that no test waits for all of them, and as files. */
async function fewPictures(): Promise<string> {
  const data = await tempFolder();
  const pixels = Uint8Array.from({ length: PICTURES * PIXELS }, (_, i) => (i * 7919) % 251);
  const labels = Uint8Array.from({ length: PICTURES }, (_, i) => i % 10);
  for (const part of ['train', 't10k']) {
    await writeFile(join(data, `${part}-images-idx3-ubyte`), idx([PICTURES, 28, 28], pixels));
    await writeFile(join(data, `${part}-labels-idx1-ubyte`), idx([PICTURES], labels));
  }
  await mkdir(join(data, 'cifar-10-batches-bin'));
  for (let batch = 1; batch <= 5; batch++) {
    // A byte of the class, then three planes of 32 x 32.
    const records = [0, 1, 2].flatMap((k) => [
      (3 * batch + k) % 10,
      ...Array.from({ length: 3 * 32 * 32 }, (_, i) => (batch * 31 + k * 17 + i * 7) % 256),
    ]);
    const file = `data_batch_${batch}.bin`;
    await writeFile(join(data, 'cifar-10-batches-bin', file), Uint8Array.from(records));
  }
  await mkdir(join(data, 'pictures'));
  for (let i = 0; i < 5; i++) {
    const background = { r: 50 * i, g: 200 - 40 * i, b: 90 };
    const picture = sharp({ create: { width: 20, height: 12 + i, channels: 3, background } });
    await picture.png().toFile(join(data, 'pictures', `${i}.png`));
  }
  return data;
}

/** A models folder with what tools/convert-edm.py makes of EDM's network for CIFAR-10, but few channels and layers. */
async function convertedEdm(): Promise<string> {
  const made = await tempFolder();
  const network = SongUNetConfigSchema.parse({
    ...{ kind: 'song-unet', size: 32, channels: 3, classes: 10, augment: 9, precondition: 'edm' },
    ...{ width: 8, multipliers: [1, 1], blocks: 1, attention: [16] },
  });
  await saveModel(join(made, 'edm-cifar10-32x32-cond-vp.safetensors'), tinyModel(network));
  return made;
}

/** The package's models, or those that a workflow asks its user for. */
const modelsFor = (name: string) => (name === 'cifar10-sid.json' ? convertedEdm() : models);

/** Runs the file with these models and few pictures as data, into a new output folder. */
async function run(file: string, modelFolder: string, overrides: readonly string[] = []) {
  const folders = { FLOWSTEP_MODELS: modelFolder, FLOWSTEP_DATA: await fewPictures() };
  const roots = readRoots(folders, { output: await tempFolder() });
  const runs = await runWorkflowFile(file, { registry: allNodes(), roots, overrides });
  return { runs, pictures: await picturesOf(runs, roots.output) };
}

/** Bytes by path below the output folder. */
async function picturesOf(runs: readonly NodeRun[], output: string): Promise<Map<string, Buffer>> {
  const paths = runs.flatMap(({ files }) => files).filter((path) => path.endsWith('.png'));
  return new Map(
    await Promise.all(
      paths.map(async (path) => [path, await readFile(join(output, path))] as const),
    ),
  );
}

describe.each(names)('%s', (name) => {
  test('runs, and its pictures carry what makes the same bytes again', async () => {
    const modelFolder = await modelsFor(name);
    const first = await run(join(folder, name), modelFolder, SMALL_RUNS[name]);
    const writers = first.runs.filter((node) => node.type === 'SaveImage');
    expect(writers.length).toBeGreaterThan(0);
    for (const writer of writers) expect(writer.files, writer.title).not.toEqual([]);

    const carried = new Set(
      [...first.pictures.values()].map((png) => readPngText(png).get('prompt')),
    );
    expect(carried.size).toBe(1);
    const prompt = JSON.parse([...carried][0]!) as Record<string, { class_type: string }>;
    expect(Object.values(prompt).map((node) => node.class_type)).toEqual(
      expect.arrayContaining(first.runs.map((node) => node.type)),
    );

    const copy = join(await tempFolder(), 'picture.png');
    await writeFile(copy, [...first.pictures.values()][0]!);
    const again = await run(copy, modelFolder);
    expect([...again.pictures.keys()]).toEqual([...first.pictures.keys()]);
    for (const [path, bytes] of again.pictures) {
      expect(bytes.equals(first.pictures.get(path)!), path).toBe(true);
    }
  });
});

test('a host that lives on trains again only what has changed', async () => {
  const cache = new ResultCache();
  const roots = readRoots({}, { output: await tempFolder() });
  /** Titles of the nodes that ran. */
  const ran = async (...changes: string[]) => {
    const overrides = [...SMALL_RUNS['fgm-2d.json']!, ...changes];
    const options = { registry: allNodes(), roots, overrides, cache };
    const runs = await runWorkflowFile(join(folder, 'fgm-2d.json'), options);
    return runs.filter((node) => !node.cached).map((node) => node.title);
  };
  expect(await ran()).toHaveLength(11);
  expect(await ran()).toEqual([]);
  expect(await ran('One-Step Sampler.seed=8')).toEqual([
    'One-Step Sampler',
    'Save Student Samples',
  ]);
  const longer = await ran('FGM Distill.lambda1=0.5');
  expect(longer).toEqual(expect.arrayContaining(['FGM Distill', 'One-Step Sampler']));
  expect(longer).not.toContain('Train Flow Teacher');
  expect(longer).not.toContain('Save Teacher Samples');
});
