/** Models that are exported and imported again: velocity, weights, training and what is told of them. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { classCount, type NetworkConfig, sampleShape } from '../../../src/trainer/nn/config.ts';
import { latestTime, parameterList } from '../../../src/trainer/nn/network.ts';
import { writeOnnx } from '../../../src/trainer/run/export-onnx.ts';
import type { FlowModel } from '../../../src/trainer/run/model.ts';
import { loadModel, saveModel } from '../../../src/trainer/run/model-file.ts';
import { sample } from '../../../src/trainer/run/sample.ts';
import { SMALL_NETWORKS, smallModel } from '../../support/small-networks.ts';
import { tempFolder } from '../../support/temp-folder.ts';
import { noiseOf, TINY_DIT, TINY_MLP, tinyModel } from '../../support/tiny-models.ts';
import { distill, runToEnd, TINY_DISTILL } from '../../support/training.ts';
import { engineVelocityOf, greatest, TOKENS } from '../../support/velocities.ts';

describe.each(Object.entries(SMALL_NETWORKS))('an exported %s', (_, network: NetworkConfig) => {
  const teacher = smallModel(network);

  test('comes back as a teacher with the same velocity, weights by their names', async () => {
    const file = join(await tempFolder(), 'teacher.onnx');
    await writeOnnx(file, teacher, { tokens: TOKENS });
    const again = await loadModel(file);
    expect(again.info.network.kind).toBe('onnx');
    expect(sampleShape(again.info.network)).toEqual(sampleShape(network));
    expect(classCount(again.info.network)).toBe(classCount(network));
    expect(latestTime(again.info.network)).toBe(latestTime(network));
    const t = [0.2, 0.55, 0.9];
    const wanted = await engineVelocityOf(teacher, t);
    expect(greatest(wanted, await engineVelocityOf(again, t))).toBeLessThan(1e-5);
    expect(Math.max(...wanted.map(Math.abs))).toBeGreaterThan(0.1);
    const shapes = (model: FlowModel) =>
      new Map(parameterList(model.info.network).specs.map(({ name, shape }) => [name, shape]));
    const original = shapes(teacher);
    for (const [name, shape] of shapes(again)) expect(original.get(name)).toEqual(shape);
  });
});

test('an imported network is saved, loaded, sampled and exported again, and stays the same', async () => {
  const folder = await tempFolder();
  const teacher = tinyModel(TINY_DIT);
  await writeOnnx(join(folder, 'a.onnx'), teacher);
  const imported = await loadModel(join(folder, 'a.onnx'));
  await saveModel(join(folder, 'b.safetensors'), imported);
  const saved = await loadModel(join(folder, 'b.safetensors'));
  expect(saved).toEqual(imported);
  const request = {
    solver: 'heun',
    steps: 3,
    noise: noiseOf([2, 1, 4, 4]),
    labels: Int32Array.of(0, 2),
  } as const;
  const [a, b] = [await sample(teacher, request), await sample(saved, request)];
  expect(greatest([...a.data], [...b.data])).toBeLessThan(1e-5);
  await writeOnnx(join(folder, 'c.onnx'), saved);
  const t = [0.1, 0.5, 0.9];
  const c = await loadModel(join(folder, 'c.onnx'));
  const [wanted, found] = [await engineVelocityOf(teacher, t), await engineVelocityOf(c, t)];
  expect(greatest(wanted, found)).toBeLessThan(1e-5);
});

test.each([
  ['an MLP', TINY_MLP],
  ['a DiT with labels', TINY_DIT],
])('a student is distilled from the ONNX form of %s as from itself', async (_title, network) => {
  const file = join(await tempFolder(), 'teacher.onnx');
  const teacher = tinyModel(network);
  await writeOnnx(file, teacher);
  const losses = async (model: FlowModel) => {
    const { steps, result } = await runToEnd(
      distill({ ...TINY_DISTILL, teacher: model, steps: 3 }),
    );
    expect(result.outcome.kind).toBe('finished');
    expect(result.student.info.network).toEqual(model.info.network);
    expect(result.student.parameters).not.toEqual(model.parameters);
    return steps.flatMap(({ metrics }) => [metrics['loss/student']!, metrics['loss/online']!]);
  };
  const [wanted, found] = [await losses(teacher), await losses(await loadModel(file))];
  for (const [i, loss] of wanted.entries()) {
    expect(Math.abs(found[i]! - loss)).toBeLessThan(1e-3 * Math.abs(loss) + 1e-4);
  }
});

test('the model card tells of the network without its graph', async () => {
  const folder = await tempFolder();
  await writeOnnx(join(folder, 'a.onnx'), tinyModel(TINY_DIT));
  const model = await loadModel(join(folder, 'a.onnx'));
  await saveModel(join(folder, 'b.safetensors'), model);
  const card = await readFile(join(folder, 'b.md'), 'utf8');
  expect(card).toContain('ONNX, shape 1 x 4 x 4, predicts velocity, time flow, nodes ');
  expect(card.split('\n').every((line) => line.length < 500)).toBe(true);
});
