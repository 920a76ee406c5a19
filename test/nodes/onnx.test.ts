/** ONNX in the nodes: a teacher that is loaded, and models that are saved for other programs. */
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openModel } from '../../src/nodes/flow-models.ts';
import { FlowModelSchema } from '../../src/nodes/handles.ts';
import { loadModelNode } from '../../src/nodes/load-model.ts';
import { saveModelNode } from '../../src/nodes/save-model.ts';
import { teacherSamplerNode } from '../../src/nodes/teacher-sampler.ts';
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
