import { readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { type ExecutionEvent, executeWorkflow } from '../../src/host/executor.ts';
import { ResultCache, resultKey } from '../../src/host/result-cache.ts';
import { allNodes } from '../../src/nodes/all-nodes.ts';
import { defineNode } from '../../src/nodes/define-node.ts';
import { FlowModelSchema, ImageSchema } from '../../src/nodes/handles.ts';
import type { Roots } from '../../src/nodes/node-context.ts';
import { nameFile } from '../../src/nodes/root-files.ts';
import { float32 } from '../../src/trainer/tensor.ts';
import { makeContext, makeRoots } from '../nodes/support.ts';
import { pixelExtractor } from '../support/pixel-extractor.ts';
import { testNodes, workflowOf } from './support.ts';

const common = { category: 'tests', description: 'For tests.' };
const image = ImageSchema.meta({ tooltip: 'An image.' });
const model = FlowModelSchema.meta({ tooltip: 'A model.' });
const text = z.string().meta({ tooltip: 'Text.' });
const name = z.string().default('a.txt').meta({ tooltip: 'File.' });

/**
 * Load names a file of the models folder, Read gives its text, Make writes a file and names it,
 * Write only writes one, Say gives its input, Big a picture of 12,000 bytes.
 */
const fileNodes = [
  defineNode({
    ...common,
    id: 'Load',
    displayName: 'Load',
    outputNode: true,
    inputs: z.object({ file: name }),
    outputs: { model },
    fingerprint: async ({ file }, { roots }) => (await nameFile(roots, 'models', file)).sha256,
    async execute({ file }, { roots }) {
      const ref = await nameFile(roots, 'models', file);
      return { outputs: { model: { type: 'FLOW_MODEL' as const, ...ref } } };
    },
  }),
  defineNode({
    ...common,
    id: 'Read',
    displayName: 'Read',
    outputNode: true,
    inputs: z.object({ file: name }),
    outputs: { text },
    fingerprint: async ({ file }, { roots }) => (await nameFile(roots, 'models', file)).sha256,
    async execute({ file }, { roots }) {
      return { outputs: { text: await readFile(join(roots.models, file), 'utf8') } };
    },
  }),
  defineNode({
    ...common,
    id: 'Big',
    displayName: 'Big',
    outputNode: true,
    inputs: z.object({}),
    outputs: { image },
    execute: async () => ({
      outputs: { image: float32(new Float32Array(3000), [1, 1, 1000, 3]) },
    }),
  }),
  defineNode({
    ...common,
    id: 'Say',
    displayName: 'Say',
    outputNode: true,
    inputs: z.object({ file: name }),
    outputs: { text },
    execute: async ({ file }) => ({ outputs: { text: file } }),
  }),
  defineNode({
    ...common,
    id: 'Make',
    displayName: 'Make',
    outputNode: true,
    inputs: z.object({ file: name }),
    outputs: { model },
    async execute({ file }, { roots }) {
      await writeFile(join(roots.output, file), 'made');
      const ref = await nameFile(roots, 'output', file);
      return { outputs: { model: { type: 'FLOW_MODEL' as const, ...ref } } };
    },
  }),
  defineNode({
    ...common,
    id: 'Write',
    displayName: 'Write',
    outputNode: true,
    inputs: z.object({ image, file: name }),
    outputs: {},
    async execute({ file }, { roots }) {
      await writeFile(join(roots.output, file), 'written');
      return { outputs: {}, files: [file] };
    },
  }),
];

type Nodes = Parameters<typeof workflowOf>[0];

/** A host that lives on between runs. */
async function host(cache = new ResultCache()) {
  const roots = await makeRoots();
  const nodes = testNodes(fileNodes);
  const { registry } = nodes;
  /** Ids of the nodes that ran, and of those that did not have to. */
  async function run(workflow: Nodes, inRoots: Roots = roots) {
    const runs = await executeWorkflow(workflowOf(workflow, registry), {
      registry,
      roots: inRoots,
      cache,
    });
    const ids = (cached: boolean) => runs.filter((r) => r.cached === cached).map((r) => r.node);
    return { ran: ids(false), cached: ids(true), runs };
  }
  return { ...nodes, roots, cache, run };
}

const chain = (grey: number, mix = 'm'): Nodes => ({
  1: ['Paint', { grey }],
  2: ['Mix', { a: ['1', 0], b: ['1', 0], name: mix }],
  3: ['Write', { image: ['2', 1] }],
});

describe('a second run', () => {
  test('runs nothing when nothing has changed, output nodes included, and gives the same', async () => {
    const { run } = await host();
    const first = await run(chain(0.5));
    const second = await run(chain(0.5));
    expect(first).toMatchObject({ ran: ['1', '2', '3'], cached: [] });
    expect(second).toMatchObject({ ran: [], cached: ['1', '2', '3'] });
    expect(second.runs.map((r) => [r.outputs, r.files, r.blocked])).toEqual(
      first.runs.map((r) => [r.outputs, r.files, r.blocked]),
    );
    expect(second.runs[0]?.blocked).toEqual({ latent: 'paint has no latent' });
  });

  test('runs again what has changed and all that follows from it', async () => {
    const { run } = await host();
    await run(chain(0.5));
    expect(await run(chain(0.25))).toMatchObject({ ran: ['1', '2', '3'] });
    expect(await run(chain(0.5, 'other'))).toMatchObject({ ran: ['2'], cached: ['1', '3'] });
  });

  test('stops where something else gave the same result', async () => {
    const { run } = await host();
    await run(chain(0.5));
    const other: Nodes = { ...chain(0.5), 1: ['Paint', { grey: 0.5, seed: 9 }] };
    expect(await run(other)).toMatchObject({ ran: ['1'], cached: ['2', '3'] });
  });

  test('takes a default that is left out for the same as one that is given', async () => {
    const { run } = await host();
    await run(chain(0.5));
    const left: Nodes = { ...chain(0.5), 1: ['Paint', {}] };
    expect((await run(left)).cached).toContain('1');
    const given: Nodes = { ...chain(0.5), 1: ['Paint', { style: 'flat', seed: 0, grey: 0.5 }] };
    expect((await run(given)).cached).toContain('1');
  });

  test('knows equal work under another id', async () => {
    const { run, painted } = await host();
    await run({ 1: ['Paint', {}], 2: ['Write', { image: ['1', 0] }] });
    const renamed: Nodes = {
      8: ['Paint', {}],
      10: ['Write', { image: ['8', 0], file: 'b.txt' }],
    };
    expect(await run(renamed)).toMatchObject({ ran: ['10'], cached: ['8'] });
    expect(painted()).toBe(1);
  });

  test('does not take one node for another with equal inputs', async () => {
    const { run } = await host();
    await run({ 1: ['Make', { file: 'x' }] });
    const said = await run({ 1: ['Say', { file: 'x' }] });
    expect(said.runs[0]).toMatchObject({ cached: false, outputs: { text: 'x' } });
  });

  test('goes on after a failure from what had finished', async () => {
    const { run, mixed } = await host();
    const failing: Nodes = { ...chain(0.5), 3: ['Fail', { image: ['2', 1] }] };
    const withEnd: Nodes = { ...failing, 4: ['Write', { image: ['3', 0] }] };
    await expect(run(withEnd)).rejects.toMatchObject({ code: 'DATASET_INVALID' });
    expect(await run(chain(0.5))).toMatchObject({ ran: ['3'], cached: ['1', '2'] });
    expect(mixed()).toBe(1);
  });

  test('tells which nodes did not have to run', async () => {
    const { run, cache, registry, roots } = await host();
    await run(chain(0.5));
    const events: ExecutionEvent[] = [];
    await executeWorkflow(workflowOf(chain(0.5), registry), {
      registry,
      roots,
      cache,
      onEvent: (event) => events.push(event),
    });
    expect(events.map((event) => [event.kind, event.node.id])).toEqual([
      ['cached', '1'],
      ['cached', '2'],
      ['cached', '3'],
    ]);
    expect(events[2]).toMatchObject({ files: ['a.txt'] });
  });
});

test('without a cache every node runs every time', async () => {
  const { registry, painted } = testNodes(fileNodes);
  const roots = await makeRoots();
  const workflow = workflowOf(chain(0.5), registry);
  for (const times of [1, 2]) {
    const runs = await executeWorkflow(workflow, { registry, roots });
    expect(runs.some((run) => run.cached)).toBe(false);
    expect(painted()).toBe(times);
  }
});

describe('files', () => {
  const load: Nodes = { 1: ['Load', {}] };
  const make: Nodes = { 1: ['Make', {}] };
  const write: Nodes = { 1: ['Paint', {}], 2: ['Write', { image: ['1', 0] }] };

  test('that are only named are named again when it changes, and only then', async () => {
    const { run, roots } = await host();
    const file = join(roots.models, 'a.txt');
    await writeFile(file, 'one');
    const first = await run(load);
    await utimes(file, 1, 1);
    expect((await run(load)).cached).toEqual(['1']);
    await writeFile(file, 'two');
    const changed = await run(load);
    expect(changed.ran).toEqual(['1']);
    expect(changed.runs[0]?.outputs).not.toEqual(first.runs[0]?.outputs);
  });

  test('whose content went into a result are read again when it changes, and only then', async () => {
    const { run, roots } = await host();
    const read: Nodes = { 1: ['Read', {}] };
    await writeFile(join(roots.models, 'a.txt'), 'one');
    await run(read);
    expect((await run(read)).cached).toEqual(['1']);
    await writeFile(join(roots.models, 'a.txt'), 'two');
    expect((await run(read)).runs[0]).toMatchObject({ cached: false, outputs: { text: 'two' } });
  });

  test.each<[string, Nodes, string]>([
    ['that an output names', make, '1'],
    ['that a node wrote', write, '2'],
  ])('%s are made again when they are gone or changed', async (_, workflow, id) => {
    const { run, roots } = await host();
    const file = join(roots.output, 'a.txt');
    await run(workflow);
    const content = await readFile(file);
    expect((await run(workflow)).ran).toEqual([]);
    await rm(file);
    expect((await run(workflow)).ran).toEqual([id]);
    expect((await run(workflow)).ran).toEqual([]);
    // As long as before, and with its times: only the content differs.
    await writeFile(
      file,
      content.map((byte) => byte ^ 1),
    );
    expect((await run(workflow)).ran).toEqual([id]);
    expect(await readFile(file)).toEqual(content);
    await utimes(file, 5, 5);
    expect((await run(workflow)).ran).toEqual([]);
  });

  test('are looked for in the folders of the run, not in those where they were made', async () => {
    const { run } = await host();
    await run(make);
    expect((await run(make, await makeRoots())).ran).toEqual(['1']);
  });
});

describe('the memory that results take', () => {
  test('is bounded: those that were not used for the longest time go first', async () => {
    // A Paint result is 48 bytes of tensor and some thousand of overhead: two fit, three do not.
    const { run } = await host(new ResultCache(10_000));
    // Show says that it wrote a file that is not there, so its result is never kept.
    const only = async (grey: number) =>
      (await run({ 1: ['Paint', { grey }], 2: ['Show', { image: ['1', 0] }] })).cached;
    expect(await only(0.1)).toEqual([]);
    expect(await only(0.2)).toEqual([]);
    expect(await only(0.1)).toEqual(['1']);
    expect(await only(0.3)).toEqual([]);
    expect(await only(0.1)).toEqual(['1']);
    expect(await only(0.2)).toEqual([]);
  });

  test('holds no result that is larger than all of it, and loses none for it', async () => {
    const { run } = await host(new ResultCache(10_000));
    const say: Nodes = { 1: ['Say', {}] };
    const large: Nodes = { 1: ['Big', {}] };
    await run(say);
    expect((await run(large)).ran).toEqual(['1']);
    expect((await run(large)).ran).toEqual(['1']);
    expect((await run(say)).cached).toEqual(['1']);
  });
});

test('a training whose evaluations see with another extractor is other work', async () => {
  const context = makeContext(await makeRoots());
  const train = allNodes().find('FlowstepTrainTeacher')!;
  const dataset = { type: 'FLOW_DATASET', kind: 'points', set: '8g', hash: 'a' };
  const key = (more: object) => resultKey(train, { dataset, ...more }, context);
  const evaluated = { evaluate_every: 2, features: 'pixels.onnx' };
  await pixelExtractor(context.roots.models);
  const [before, without] = [await key(evaluated), await key({})];
  await pixelExtractor(context.roots.models, { preprocessing: { divide: 255 } });
  expect(await key(evaluated)).not.toBe(before);
  expect(await key({})).toBe(without);
});
