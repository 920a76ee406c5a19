/** Nodes that name files tell when these change, whether or not anything comes through links. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { allNodes } from '../../src/nodes/all-nodes.ts';
import type { Roots } from '../../src/nodes/node-context.ts';
import { writeSafetensors } from '../../src/trainer/files/safetensors.ts';
import { float32 } from '../../src/trainer/tensor.ts';
import { pixelExtractor } from '../support/pixel-extractor.ts';
import { makeContext, makeRoots } from './support.ts';

interface Naming {
  readonly node: string;
  readonly inputs: Readonly<Record<string, unknown>>;
  /** Writes the file; another version, another content. */
  write(roots: Roots, version: number): Promise<unknown>;
}

const text = (root: 'models' | 'data', name: string) => (roots: Roots, version: number) =>
  writeFile(join(roots[root], name), `content ${version}`);

const declaration = async (roots: Roots, version: number) => {
  await pixelExtractor(roots.models, { preprocessing: { divide: version } });
};

async function extractorFile({ models }: Roots, version: number): Promise<void> {
  await pixelExtractor(models);
  await writeFile(join(models, 'pixels.onnx'), `content ${version}`);
}

async function lora(roots: Roots, version: number): Promise<void> {
  await text('models', 'm.safetensors')(roots, 1);
  await text('models', 'l.safetensors')(roots, version);
}

async function points(roots: Roots, version: number): Promise<void> {
  const samples = float32(Float32Array.of(version, 2, 3, 4), [2, 2]);
  await writeSafetensors(join(roots.data, 'l.safetensors'), new Map([['samples', samples]]));
}

const evaluated = { evaluate_every: 5, features: 'pixels.onnx' };

const NAMING: readonly (readonly [what: string, naming: Naming])[] = [
  [
    'the model of Load Flow Model',
    {
      node: 'FlowstepLoadModel',
      inputs: { file: 'm.safetensors' },
      write: text('models', 'm.safetensors'),
    },
  ],
  [
    'its LoRA',
    {
      node: 'FlowstepLoadModel',
      inputs: { file: 'm.safetensors', lora: 'l.safetensors' },
      write: lora,
    },
  ],
  [
    'its LoRA while the model comes through a link',
    { node: 'FlowstepLoadModel', inputs: { lora: 'l.safetensors' }, write: lora },
  ],
  [
    'a file of Flow Dataset',
    {
      node: 'FlowstepDataset',
      inputs: { source: 'latents', file: 'l.safetensors' },
      write: points,
    },
  ],
  [
    'the embeddings of Flow Prompt Set',
    {
      node: 'FlowstepPromptSet',
      inputs: { file: 'p.safetensors' },
      write: text('data', 'p.safetensors'),
    },
  ],
  [
    'the extractor of Evaluate Flow',
    {
      node: 'FlowstepEvaluate',
      inputs: { features: 'pixels.onnx' },
      write: extractorFile,
    },
  ],
  [
    'what is declared of it',
    { node: 'FlowstepEvaluate', inputs: { features: 'pixels.onnx' }, write: declaration },
  ],
  [
    'the extractor of evaluations in FGM Distill',
    { node: 'FlowstepDistill', inputs: evaluated, write: declaration },
  ],
  [
    'the extractor of evaluations in Train Flow Teacher',
    { node: 'FlowstepTrainTeacher', inputs: evaluated, write: declaration },
  ],
];

const fingerprint = (node: string, inputs: object, roots: Roots) =>
  allNodes()
    .find(node)!
    .fingerprint({ ...inputs }, makeContext(roots));

describe.each(NAMING)('%s', (_, { node, inputs, write }) => {
  test('changes the fingerprint, which needs nothing of the links', async () => {
    const roots = await makeRoots();
    await write(roots, 1);
    const before = await fingerprint(node, inputs, roots);
    expect(before).toBeTypeOf('string');
    expect(await fingerprint(node, inputs, roots)).toBe(before);
    await write(roots, 2);
    expect(await fingerprint(node, inputs, roots)).not.toBe(before);
  });

  test('that is not there is told', async () => {
    const roots = await makeRoots();
    const told = fingerprint(node, inputs, roots);
    await expect(told).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' });
  });
});

test.each([
  ['Load Flow Model whose file comes through a link', 'FlowstepLoadModel', {}],
  ['pictures of the graph', 'FlowstepDataset', { source: 'images' }],
  ['a folder that comes through a link', 'FlowstepDataset', { source: 'folder' }],
  ['prompts of the graph', 'FlowstepPromptSet', {}],
  ['an evaluation without an extractor', 'FlowstepEvaluate', {}],
  [
    'a training without evaluations',
    'FlowstepDistill',
    { evaluate_every: 0, features: 'pixels.onnx' },
  ],
  ['a training evaluated on points', 'FlowstepTrainTeacher', { evaluate_every: 5 }],
  ['a node that names no file', 'FlowstepOneStepSampler', {}],
])('there is none for %s', async (_, node, inputs) => {
  expect(await fingerprint(node, inputs, await makeRoots())).toBeUndefined();
});

test('these nodes and no others read files', () => {
  const registry = allNodes();
  const reading = registry.list().filter(({ id }) => registry.find(id)!.readsFiles);
  const named = NAMING.map(([, { node }]) => node);
  expect(reading.map(({ id }) => id).sort()).toEqual([...new Set(named)].sort());
});
