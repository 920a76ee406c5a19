/** Models as files: what was saved is loaded, and what is no model is refused by name. */
import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { FlowstepError } from '../../../src/errors.ts';
import { readSafetensors, writeSafetensors } from '../../../src/trainer/files/safetensors.ts';
import { cardPath, hashInCard } from '../../../src/trainer/run/model-card.ts';
import { loadModel, saveModel } from '../../../src/trainer/run/model-file.ts';
import { float32, type Tensor } from '../../../src/trainer/tensor.ts';
import { tempFolder } from '../../support/temp-folder.ts';
import { TINY_DIT, TINY_MLP, tinyModel } from '../../support/tiny-models.ts';

const teacher = tinyModel(TINY_MLP);
const student = tinyModel(TINY_DIT, { tStar: 0.97, cIn: 0.5 });

describe('round trip', () => {
  test.each([
    ['an MLP', teacher],
    ['a student with classes', student],
  ])('%s in float32, exactly', async (_title, model) => {
    const path = join(await tempFolder(), 'model.safetensors');
    const { bytes } = await saveModel(path, model);
    expect(bytes).toBe(4 * model.parameters.length);
    expect(await loadModel(path)).toEqual(model);
  });

  test('in float16, to its rounding', async () => {
    const path = join(await tempFolder(), 'model.safetensors');
    const { bytes } = await saveModel(path, student, { dtype: 'float16' });
    expect(bytes).toBe(2 * student.parameters.length);
    const loaded = await loadModel(path);
    expect(loaded.info).toEqual(student.info);
    for (const [i, value] of student.parameters.entries()) {
      const gap = Math.abs(loaded.parameters[i]! - value);
      expect(gap).toBeLessThanOrEqual(Math.max(2 ** -11 * Math.abs(value), 2 ** -25));
    }
    // What has been rounded once stays as it is.
    const again = `${path}.2`;
    await saveModel(again, loaded, { dtype: 'float16' });
    expect((await loadModel(again)).parameters).toEqual(loaded.parameters);
  });
});

/** The tensor data of a file by the format's definition: what follows the length and the header. */
async function dataOf(path: string): Promise<Buffer> {
  const file = await readFile(path);
  return file.subarray(8 + Number(file.readBigUInt64LE(0)));
}

describe('what a file says of itself', () => {
  test('is ModelSpec under names of our own, with the hash of the tensor data', async () => {
    const path = join(await tempFolder(), 'model.safetensors');
    await saveModel(path, student);
    const { metadata } = await readSafetensors(path);
    const hash = createHash('sha256')
      .update(await dataOf(path))
      .digest('hex');
    expect(metadata).toMatchObject({
      'modelspec.sai_model_spec': '1.0.1',
      'modelspec.architecture': 'flowstep-dit-v1-student',
      'modelspec.implementation': 'flowstep',
      'modelspec.title': 'One-step student on none',
      'modelspec.resolution': '4x4',
      'modelspec.prediction_type': 'velocity',
      'modelspec.timestep_range': '0.97,0.97',
      'modelspec.hash_sha256': `0x${hash}`,
    });
    expect(metadata['modelspec.description']).toContain('grey pictures of 4 x 4 in 3 classes');
    expect(JSON.parse(metadata['flowstep.model']!).student).toMatchObject({
      tStar: 0.97,
      cIn: 0.5,
    });
  });

  test('of a teacher of points holds no resolution and no range of times', async () => {
    const path = join(await tempFolder(), 'model.safetensors');
    await saveModel(path, teacher);
    const { metadata } = await readSafetensors(path);
    expect(metadata['modelspec.architecture']).toBe('flowstep-mlp-v1');
    expect(metadata['modelspec.usage_hint']).toContain('then Flow Sampler; or: flowstep sample');
    expect(metadata).not.toHaveProperty(['modelspec.resolution']);
    expect(metadata).not.toHaveProperty(['modelspec.timestep_range']);
  });

  test('of a student of several steps names their number and range', async () => {
    const path = join(await tempFolder(), 'model.safetensors');
    await saveModel(path, tinyModel(TINY_MLP, { tStar: 0.9, cIn: 1, steps: 2, shift: 1 }));
    const { metadata } = await readSafetensors(path);
    expect(metadata['modelspec.title']).toBe('2-step student on none');
    expect(metadata['modelspec.timestep_range']).toBe('0.45,0.9');
    expect(await readFile(cardPath(path), 'utf8')).toContain('looks at the times 0.9, 0.45');
  });

  test('is the same in every file of the same model', async () => {
    const folder = await tempFolder();
    const [a, b] = [join(folder, 'a.safetensors'), join(folder, 'b.safetensors')];
    await saveModel(a, student);
    await saveModel(b, student);
    expect(await readFile(b)).toEqual(await readFile(a));
  });
});

describe('the card beside a model', () => {
  test('says what it is, how to sample it and what trained it', async () => {
    const path = join(await tempFolder(), 'my model.safetensors');
    const { sha256 } = await saveModel(path, {
      ...student,
      info: { ...student.info, training: { seed: 4, density: { kind: 'uniform', min: 0.02 } } },
    });
    const card = await readFile(cardPath(path), 'utf8');
    expect(hashInCard(card)).toBe(sha256);
    for (const text of [
      '# One-step student on none',
      "flowstep sample --model 'my model.safetensors' --count 16",
      '**One-Step Sampler**',
      '| student.tStar | 0.97 |',
      '| seed | 4 |',
      '| density.kind | uniform |',
      '| made on | 20',
    ]) {
      expect(card).toContain(text);
    }
  });

  test('begins with YAML that model hubs read', async () => {
    const path = join(await tempFolder(), 'model.safetensors');
    await saveModel(path, student);
    const lines = (await readFile(cardPath(path), 'utf8')).split('\n');
    expect(lines.slice(0, 6)).toEqual([
      '---',
      'library_name: flowstep',
      'pipeline_tag: unconditional-image-generation',
      'tags: [flow-matching, one-step, flow-generator-matching]',
      'datasets: ["none"]',
      '---',
    ]);
  });
});

/** Saves a model, changes what is in its file, and loads it. */
async function loadChanged(
  change: (
    tensors: Map<string, Tensor>,
    metadata: Record<string, string>,
  ) => Record<string, string> | undefined,
): Promise<{ error: FlowstepError; path: string }> {
  const path = join(await tempFolder(), 'changed.safetensors');
  await saveModel(path, teacher);
  const { tensors, metadata } = await readSafetensors(path);
  const meta = change(tensors, { ...metadata }) ?? metadata;
  await writeSafetensors(path, tensors, meta);
  const error: unknown = await loadModel(path).then(
    () => 'was loaded',
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(FlowstepError);
  return { error: error as FlowstepError, path };
}

type Change = Parameters<typeof loadChanged>[0];

const editInfo =
  (edit: (info: Record<string, unknown>) => unknown): Change =>
  (_tensors, metadata) => ({
    ...metadata,
    'flowstep.model': JSON.stringify(edit(JSON.parse(metadata['flowstep.model']!))),
  });

const set =
  (name: string, tensor: Tensor): Change =>
  (tensors) => {
    tensors.set(name, tensor);
    return undefined;
  };

describe('refused with the name of the file', () => {
  const changes: readonly (readonly [string, Change, string])[] = [
    ['an unknown tensor', set('net.9.weight', float32(new Float32Array(1), [1])), 'unknown net.9'],
    [
      'a missing tensor',
      (tensors) => {
        tensors.delete('net.1.bias');
        return undefined;
      },
      'missing net.1.bias',
    ],
    [
      'a tensor of another shape',
      set('net.2.weight', float32(new Float32Array(16), [8, 2])),
      'net.2.weight is [8, 2], the network needs [2, 8]',
    ],
    [
      'a tensor of another type',
      set('net.2.bias', { dtype: 'int32', shape: [2], data: new Int32Array(2) }),
      'net.2.bias is int32',
    ],
    ['no description', () => ({ any: 'thing' }), 'neither a Flowstep model nor Stable Diffusion 3'],
    [
      'another format',
      (_tensors, metadata) => ({ ...metadata, 'flowstep.format': '2' }),
      'has model format 2, not 1',
    ],
    [
      'a description that is not JSON',
      (_tensors, metadata) => ({ ...metadata, 'flowstep.model': '{' }),
      'is not JSON',
    ],
    ['a role that is none', editInfo((info) => ({ ...info, role: 'judge' })), 'role'],
    [
      'a network that cannot be',
      editInfo((info) => ({ ...info, network: { ...TINY_DIT, patch: 3 } })),
      'network.patch: size must be a multiple of patch',
    ],
    [
      'another network than the tensors',
      editInfo((info) => ({ ...info, network: { ...TINY_MLP, layers: 3 } })),
      'missing net.3.weight, net.3.bias',
    ],
  ];

  test.each(changes)('%s', async (_title, change, text) => {
    const { error, path } = await loadChanged(change);
    expect(error.code).toBe('MODEL_INVALID');
    expect(error.message).toContain(text);
    expect(error.message).toContain(path);
    expect(error.details.file).toBe(path);
  });

  test('weights in which one bit has flipped, with both hashes', async () => {
    const path = join(await tempFolder(), 'model.safetensors');
    await saveModel(path, teacher);
    const written = (await readSafetensors(path)).metadata['modelspec.hash_sha256']!;
    const bytes = await readFile(path);
    bytes[bytes.length - 6]! ^= 0x10;
    await writeFile(path, bytes);
    const found = createHash('sha256')
      .update(await dataOf(path))
      .digest('hex');
    const error: unknown = await loadModel(path).then(
      () => 'was loaded',
      (e: unknown) => e,
    );
    expect(error).toMatchObject({ code: 'MODEL_INVALID' });
    for (const text of [path, written, `0x${found}`]) expect(String(error)).toContain(text);
  });

  test('but files without a hash, as earlier versions wrote them, are read', async () => {
    const path = join(await tempFolder(), 'model.safetensors');
    await saveModel(path, teacher);
    const { tensors, metadata } = await readSafetensors(path);
    const { 'modelspec.hash_sha256': _, ...older } = metadata;
    await writeSafetensors(path, tensors, older);
    expect(await loadModel(path)).toEqual(teacher);
  });

  test('a file that is not there, and one that is no safetensors file', async () => {
    const folder = await tempFolder();
    await expect(loadModel(join(folder, 'none'))).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' });
    const text = join(folder, 'text.safetensors');
    await writeFile(text, 'hello, world');
    await expect(loadModel(text)).rejects.toMatchObject({ code: 'FILE_FORMAT' });
  });
});
