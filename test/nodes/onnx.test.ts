/** ONNX in the nodes: a teacher that is loaded, and models that are saved for other programs. */
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { onlineModelOf } from '../../src/nodes/distill-models.ts';
import { openModel } from '../../src/nodes/flow-models.ts';
import { FlowModelSchema, OnlineFlowSchema } from '../../src/nodes/handles.ts';
import { loadModelNode } from '../../src/nodes/load-model.ts';
import { onlineFlowNode } from '../../src/nodes/online-flow.ts';
import { saveModelNode } from '../../src/nodes/save-model.ts';
import { teacherSamplerNode } from '../../src/nodes/teacher-sampler.ts';
import { sha256OfFile } from '../../src/trainer/files/hash.ts';
import { ELEMENT_TYPES } from '../../src/trainer/graph/onnx-format.ts';
import { writeOnnx } from '../../src/trainer/run/export-onnx.ts';
import { saveModel } from '../../src/trainer/run/model-file.ts';
import { handModel } from '../support/onnx-models.ts';
import { TINY_MLP, tinyModel } from '../support/tiny-models.ts';
import { makeContext, makeRoots } from './support.ts';

const open = (...dims: (number | undefined)[]) => ({
  type: {
    tensorType: {
      elemType: 1,
      shape: { dim: dims.map((d) => (d === undefined ? { dimParam: 'n' } : { dimValue: d })) },
    },
  },
});

describe('Load Flow Model with an .onnx file', () => {
  const DECLARED = { inputs: { x: 'x', time: 'time' }, predicts: 'velocity', time: 'flow' };

  async function withNetwork() {
    const context = makeContext(await makeRoots());
    const file = join(context.roots.models, 'net.onnx');
    const add = { opType: 'Add', input: ['x', 'time'], output: ['y'] };
    const inputs = { x: open(undefined, 2), time: open(undefined, 1) };
    await writeFile(file, handModel({ inputs, nodes: [add] }));
    const declare = (more: object) =>
      writeFile(`${file}.json`, JSON.stringify({ ...DECLARED, ...more }));
    await declare({});
    return { context, declare };
  }

  test('is a teacher, which a changed declaration makes another', async () => {
    const { context, declare } = await withNetwork();
    const load = async () => {
      const { outputs } = await loadModelNode.run({ file: 'net.onnx' }, context);
      return openModel(FlowModelSchema.parse(outputs['model']), context);
    };
    const fingerprint = () => loadModelNode.fingerprint({ file: 'net.onnx' }, context);
    const before = await fingerprint();
    expect((await load()).info).toMatchObject({ role: 'teacher', network: { time: 'flow' } });
    await declare({ time: 'flow-1000' });
    expect(await fingerprint()).not.toBe(before);
    expect((await load()).info).toMatchObject({ network: { time: 'flow-1000' } });
  });

  test('without a declaration is refused at the node', async () => {
    const { context } = await withNetwork();
    const bare = join(context.roots.models, 'bare.onnx');
    await writeFile(bare, await readFile(join(context.roots.models, 'net.onnx')));
    await expect(loadModelNode.run({ file: 'bare.onnx' }, context)).rejects.toMatchObject({
      code: 'MODEL_INVALID',
      details: { hint: expect.stringContaining('bare.onnx.json') },
    });
  });

  test('that Flowstep has exported needs none, and is sampled', async () => {
    const context = makeContext(await makeRoots());
    await writeOnnx(join(context.roots.models, 't.onnx'), tinyModel(TINY_MLP));
    const { outputs } = await loadModelNode.run({ file: 't.onnx' }, context);
    const drawn = await teacherSamplerNode.run(
      { model: outputs['model'], count: 4, steps: 2 },
      context,
    );
    expect(drawn.outputs['latent']).toMatchObject({ samples: { shape: [4, 2] } });
  });
});

describe('an .onnx file whose weights lie in another file', () => {
  /** y = x w + time, with w in net.onnx.data. */
  async function withWeights(): Promise<{
    context: ReturnType<typeof makeContext>;
    file: string;
    write(...w: number[]): Promise<void>;
  }> {
    const context = makeContext(await makeRoots());
    const file = join(context.roots.models, 'net.onnx');
    const entries = { location: 'net.onnx.data', offset: '0', length: '8' };
    const externalData = Object.entries(entries).map(([key, value]) => ({ key, value }));
    const w = { dims: [2], dataType: ELEMENT_TYPES.float32, dataLocation: 1, externalData };
    const nodes = [
      { opType: 'Mul', input: ['x', 'w'], output: ['a'] },
      { opType: 'Add', input: ['a', 'time'], output: ['y'] },
    ];
    const inputs = { x: open(undefined, 2), time: open(undefined, 1) };
    await writeFile(file, handModel({ inputs, initializers: { w }, nodes }));
    const declared = { inputs: { x: 'x', time: 'time' }, predicts: 'velocity', time: 'flow' };
    await writeFile(`${file}.json`, JSON.stringify(declared));
    const write = (...numbers: number[]) =>
      writeFile(`${file}.data`, new Uint8Array(Float32Array.from(numbers).buffer));
    await write(1, 2);
    return { context, file, write };
  }

  const load = async (context: ReturnType<typeof makeContext>, more = {}) =>
    FlowModelSchema.parse(
      (await loadModelNode.run({ file: 'net.onnx', ...more }, context)).outputs['model'],
    );

  test('is another model once those change', async () => {
    const { context, write } = await withWeights();
    const fingerprint = () => loadModelNode.fingerprint({ file: 'net.onnx' }, context);
    const weights = async () => (await openModel(await load(context), context)).parameters;
    const [before, first] = [await fingerprint(), await load(context)];
    expect([...(await weights())]).toEqual([1, 2]);
    await write(-3, 5);
    expect(await fingerprint()).not.toBe(before);
    expect(await load(context)).not.toEqual(first);
    expect([...(await weights())]).toEqual([-3, 5]);
  });

  test('is refused by a handle that was given before', async () => {
    const { context, write } = await withWeights();
    const handle = await load(context);
    await write(-3, 5);
    await expect(openModel(handle, context)).rejects.toMatchObject({
      code: 'FILE_FORMAT',
      message: expect.stringContaining('has changed'),
    });
  });

  test('has a sha256 for the node that its weights change too', async () => {
    const { context, file, write } = await withWeights();
    const refusal = async () => {
      const error = await load(context, { sha256: await sha256OfFile(file) }).catch((e) => e);
      expect(error).toMatchObject({ code: 'MODEL_INVALID', details: { field: 'sha256' } });
      expect(error.details.hint).toContain('weights lie in other files');
      return /its sha256 is ([0-9a-f]{64}), not/.exec(error.message)![1]!;
    };
    const sha256 = await refusal();
    expect(await load(context, { sha256 })).toMatchObject({ path: 'net.onnx' });
    await write(-3, 5);
    await expect(load(context, { sha256 })).rejects.toMatchObject({ code: 'MODEL_INVALID' });
    expect(await refusal()).not.toBe(sha256);
  });

  test('is refused as an online flow of before', async () => {
    const context = makeContext(await makeRoots());
    const { models } = context.roots;
    const teacher = tinyModel({ ...TINY_MLP, width: 64 });
    await saveModel(join(models, 't.safetensors'), teacher);
    const file = join(models, 'o.onnx');
    const model = { ...teacher, info: { ...teacher.info, role: 'online' as const } };
    await writeOnnx(file, model, { inlineBytes: 0 });
    const load = async (file: string) =>
      (await loadModelNode.run({ file }, context)).outputs['model'];
    const inputs = { teacher: await load('t.safetensors'), model: await load('o.onnx') };
    const { outputs } = await onlineFlowNode.run(inputs, context);
    const online = OnlineFlowSchema.parse(outputs['online']);
    expect((await onlineModelOf(online, teacher, context))?.info.role).toBe('online');
    await writeFile(`${file}.data`, (await readFile(`${file}.data`)).fill(0, 0, 4));
    await expect(onlineModelOf(online, teacher, context)).rejects.toMatchObject({
      code: 'FILE_FORMAT',
      message: expect.stringContaining('has changed'),
    });
  });
});

test('a handle of before is refused once the declaration says something else', async () => {
  const context = makeContext(await makeRoots());
  const file = join(context.roots.models, 'net.onnx');
  const add = { opType: 'Add', input: ['x', 'time'], output: ['y'] };
  const inputs = { x: open(undefined, 2), time: open(undefined, 1) };
  await writeFile(file, handModel({ inputs, nodes: [add] }));
  const declare = (time: string) => {
    const declared = { inputs: { x: 'x', time: 'time' }, predicts: 'velocity', time };
    return writeFile(`${file}.json`, JSON.stringify(declared));
  };
  await declare('flow');
  const { outputs } = await loadModelNode.run({ file: 'net.onnx' }, context);
  const handle = FlowModelSchema.parse(outputs['model']);
  // As in every version: of a file without external data it is the hash of the text.
  expect(handle.declaration).toBe(await sha256OfFile(`${file}.json`));
  await declare('flow-1000');
  await expect(openModel(handle, context)).rejects.toMatchObject({
    code: 'FILE_FORMAT',
    message: expect.stringContaining('has changed'),
  });
});

/** A student, and what saves it. */
async function withStudent() {
  const context = makeContext(await makeRoots());
  const student = tinyModel(TINY_MLP, { tStar: 0.9, cIn: 1 });
  await saveModel(join(context.roots.models, 's.safetensors'), student);
  const { outputs } = await loadModelNode.run({ file: 's.safetensors' }, context);
  const save = (format: string) =>
    saveModelNode.run({ model: outputs['model'], filename_prefix: 'm/points', format }, context);
  return { context, save };
}

describe('Save Flow Model', () => {
  async function saved(format: string) {
    const { context, save } = await withStudent();
    return { context, result: await save(format) };
  }

  test('as onnx: one file', async () => {
    const { context, result } = await saved('onnx');
    expect(result.outputs).toEqual({ path: 'm/points_00001_.onnx' });
    expect(result.files).toEqual(['m/points_00001_.onnx']);
    await stat(join(context.roots.output, 'm/points_00001_.onnx'));
  });

  test('as triton: a folder named as its model', async () => {
    const { context, result } = await saved('triton');
    expect(result.outputs).toEqual({ path: 'm/points_00001_' });
    expect(result.files).toEqual(['m/points_00001_/config.pbtxt', 'm/points_00001_/1/model.onnx']);
    const config = join(context.roots.output, 'm/points_00001_/config.pbtxt');
    expect(await readFile(config, 'utf8')).toMatch(/^name: "points_00001_"$/m);
  });
});

describe('those who save at the same time', () => {
  test.each([
    ['safetensors', (number: string) => `m/points_${number}_.safetensors`],
    ['onnx', (number: string) => `m/points_${number}_.onnx`],
    ['triton', (number: string) => `m/points_${number}_`],
  ])('as %s each have a model of their own', async (format, pathOf) => {
    const { context, save } = await withStudent();
    const results = await Promise.all([save(format), save(format), save(format)]);
    const paths = results.map(({ outputs }) => outputs['path']).sort();
    expect(paths).toEqual(['00001', '00002', '00003'].map(pathOf));
    for (const { outputs, files = [] } of results) {
      // All files of a model have its number.
      for (const file of files) expect(file.startsWith(String(outputs['path']))).toBe(true);
      for (const file of files) await stat(join(context.roots.output, file));
    }
    const whole = format === 'safetensors' ? 6 : 3;
    expect(await readdir(join(context.roots.output, 'm'))).toHaveLength(whole);
  });
});
