import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { loraParameterList } from '../../../src/trainer/nn/lora.ts';
import { initialise } from '../../../src/trainer/nn/parameters.ts';
import { Distiller } from '../../../src/trainer/run/distiller.ts';
import { merged, withLora } from '../../../src/trainer/run/lora-model.ts';
import { type FlowModel, studentSettings, weightsHash } from '../../../src/trainer/run/model.ts';
import { loadModel, saveModel } from '../../../src/trainer/run/model-file.ts';
import { sample } from '../../../src/trainer/run/sample.ts';
import { tempFolder } from '../../support/temp-folder.ts';
import { noiseOf, TINY_DIT, tinyModel } from '../../support/tiny-models.ts';
import { distill, runToEnd, TINY_DISTILL } from '../../support/training.ts';

const LORA = { rank: 2, alpha: 4, targets: ['qkv', 'proj', 'fc1', 'fc2'] };
const TEACHER = tinyModel(TINY_DIT);
const STUDENT = studentSettings({ tStar: 1, cIn: 1 });

const JOB = {
  ...TINY_DISTILL,
  teacher: TEACHER,
  student: STUDENT,
  online: { ...TINY_DISTILL.online, lora: LORA },
  lora: LORA,
};

async function samplesOf(model: FlowModel): Promise<Float32Array> {
  const noise = noiseOf([3, 1, 4, 4]);
  const labels = Int32Array.of(0, 1, 2);
  return (await sample(model, { solver: 'one-step', noise, labels })).data;
}

function largestGap(a: Float32Array, b: Float32Array): number {
  return a.reduce((gap, x, i) => Math.max(gap, Math.abs(x - b[i]!)), 0);
}

describe('a student that is adapters on its teacher', () => {
  test('learns, leaves the teacher as it is and shares its weights', async () => {
    const before = TEACHER.parameters.slice();
    const { student, online } = (await runToEnd(distill(JOB))).result;
    expect(TEACHER.parameters).toEqual(before);
    expect(student.parameters).toBe(TEACHER.parameters);
    expect(student.adapters?.parameters.length).toBe(loraParameterList(TINY_DIT, LORA).size);
    expect(student.adapters?.parameters).not.toEqual(
      initialise(loraParameterList(TINY_DIT, LORA), JOB.seed),
    );
    expect(student.info.lora).toEqual({ config: LORA, base: weightsHash(TEACHER) });
    expect(online.adapters?.config).toEqual(LORA);
  });

  test('fresh adapters are the teacher', async () => {
    const distiller = new Distiller(JOB);
    const { student } = distiller.models();
    distiller.dispose();
    const plain = { info: { ...student.info }, parameters: TEACHER.parameters };
    expect(largestGap(await samplesOf(student), await samplesOf(plain))).toBeLessThan(1e-6);
  });

  test('is saved as a LoRA and makes the same samples again, as adapters and merged', async () => {
    const { student } = (await runToEnd(distill(JOB))).result;
    const path = join(await tempFolder(), 'student.safetensors');
    await saveModel(path, student);
    const back = await withLora(TEACHER, path, 1);
    expect(back.info).toEqual(student.info);
    expect(back.parameters).toBe(TEACHER.parameters);
    expect(await samplesOf(back)).toEqual(await samplesOf(student));
    const whole = await merged(back);
    expect(whole.info.lora).toBeUndefined();
    expect(largestGap(await samplesOf(whole), await samplesOf(student))).toBeLessThan(1e-5);
  });

  test('half its strength is between the teacher and the student', async () => {
    const { student } = (await runToEnd(distill(JOB))).result;
    const path = join(await tempFolder(), 'half.safetensors');
    await saveModel(path, student);
    const none = await samplesOf(await withLora(TEACHER, path, 0));
    const half = await samplesOf(await withLora(TEACHER, path, 0.5));
    const full = await samplesOf(await withLora(TEACHER, path, 1));
    expect(largestGap(none, full)).toBeGreaterThan(1e-4);
    expect(largestGap(half, full)).toBeLessThan(largestGap(none, full));
  });

  test('does not load without its base, or on another', async () => {
    const { student } = (await runToEnd(distill(JOB))).result;
    const path = join(await tempFolder(), 'alone.safetensors');
    await saveModel(path, student);
    await expect(loadModel(path)).rejects.toThrow('nothing without its base');
    const parameters = TEACHER.parameters.map((x) => x + 1);
    await expect(withLora({ ...TEACHER, parameters }, path, 1)).rejects.toMatchObject({
      code: 'MODEL_INVALID',
      message: expect.stringContaining('was trained on other weights'),
    });
  });

  test('may have an online flow that is a whole network, and the other way round', async () => {
    const { lora: _none, ...wholeOnline } = JOB.online;
    const { student, online } = (await runToEnd(distill({ ...JOB, online: wholeOnline }))).result;
    expect([student.adapters !== undefined, online.adapters !== undefined]).toEqual([true, false]);
    const { lora: _whole, ...wholeStudent } = JOB;
    const turned = (await runToEnd(distill(wholeStudent))).result;
    expect(turned.student.adapters).toBeUndefined();
    expect(turned.online.adapters).toBeDefined();
  });

  test('refuses to go on with adapters of other weights than the teacher’s', async () => {
    const other = { ...TEACHER, parameters: TEACHER.parameters.map((x) => 1.1 * x) };
    const { student, online } = (await runToEnd(distill({ ...JOB, teacher: other }))).result;
    const { outcome: _, ...made } = (await runToEnd(distill(JOB))).result;
    const refused = expect.objectContaining({
      code: 'MODEL_INVALID',
      message: expect.stringContaining(weightsHash(TEACHER)),
    });
    expect(() => new Distiller({ ...JOB, studentModel: student })).toThrow(refused);
    expect(() => new Distiller({ ...JOB, onlineModel: online })).toThrow(refused);
    new Distiller({ ...JOB, studentModel: made.student, onlineModel: made.online }).dispose();
  });

  test('refuses adapters that start at random', () => {
    const job = { ...JOB, online: { ...JOB.online, init: 'random' as const } };
    expect(() => new Distiller(job)).toThrow(/cannot start from random weights/);
  });
});
