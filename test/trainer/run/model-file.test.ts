/** Models as files: what was saved is loaded, and what is no model is refused by name. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { FlowstepError } from '../../../src/errors.ts';
import { readSafetensors, writeSafetensors } from '../../../src/trainer/files/safetensors.ts';
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

  test('the card beside it says what it is', async () => {
    const path = join(await tempFolder(), 'my.model.safetensors');
    const { sha256 } = await saveModel(path, student);
    const card = await readFile(path.replace('.safetensors', '.md'), 'utf8');
    for (const text of [sha256, 'one-step', 'student on none', `| seed | 4 |`, '0.97']) {
      expect(card).toContain(text);
    }
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
    ['no description', () => ({ any: 'thing' }), 'is not a Flowstep model'],
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

  test('a file that is not there, and one that is no safetensors file', async () => {
    const folder = await tempFolder();
    await expect(loadModel(join(folder, 'none'))).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' });
    const text = join(folder, 'text.safetensors');
    await writeFile(text, 'hello, world');
    await expect(loadModel(text)).rejects.toMatchObject({ code: 'FILE_FORMAT' });
  });
});
