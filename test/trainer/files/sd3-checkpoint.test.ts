/** Checkpoints of Stable Diffusion 3: forms are recognised, number types read, and other files refused before their data. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FlowstepError } from '../../../src/errors.ts';
import { float8ToFloat32 } from '../../../src/trainer/files/float8.ts';
import { float32ToBfloat16, float32ToFloat16 } from '../../../src/trainer/files/float16.ts';
import { writeSafetensors } from '../../../src/trainer/files/safetensors.ts';
import type { FileDtype } from '../../../src/trainer/files/safetensors-header.ts';
import { readSd3, recogniseSd3 } from '../../../src/trainer/files/sd3-checkpoint.ts';
import type { MmditConfig } from '../../../src/trainer/nn/config.ts';
import { parameterList } from '../../../src/trainer/nn/network.ts';
import { float32, sameShape, type Tensor } from '../../../src/trainer/tensor.ts';
import { randomWeights, smallMmdit } from '../../support/small-mmdit.ts';
import { tempFolder } from '../../support/temp-folder.ts';

const PREFIX = 'model.diffusion_model.';
const SIZE = { height: 4, width: 6 };

async function written(tensors: ReadonlyMap<string, Tensor>): Promise<string> {
  const path = join(await tempFolder(), 'model.safetensors');
  await writeSafetensors(path, tensors);
  return path;
}

const withPrefix = (weights: ReadonlyMap<string, Tensor>, prefix: string) =>
  new Map([...weights].map(([name, tensor]) => [prefix + name, tensor]));

function flatOf(config: MmditConfig, weights: ReadonlyMap<string, Tensor>): Float32Array {
  const list = parameterList(config);
  const flat = new Float32Array(list.size);
  for (const { name, offset } of list.specs) {
    flat.set(weights.get(name)!.data as Float32Array, offset);
  }
  return flat;
}

/** Bit for bit; vitest's own comparison takes seconds for a million numbers. */
const isEqual = (a: Float32Array, b: Float32Array) =>
  a.length === b.length && a.every((value, i) => Object.is(value, b[i]));

/** A file of tensors of any type, as the format says; tensors lie in the given order. */
async function writtenRaw(
  tensors: readonly (readonly [string, FileDtype, readonly number[], Uint8Array])[],
): Promise<string> {
  let offset = 0;
  const entries = tensors.map(([name, dtype, shape, bytes]) => {
    const from = offset;
    offset += bytes.length;
    return [name, { dtype, shape, data_offsets: [from, offset] }] as const;
  });
  const header = Buffer.from(JSON.stringify(Object.fromEntries(entries)));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  const path = join(await tempFolder(), 'model.safetensors');
  await writeFile(path, Buffer.concat([length, header, ...tensors.map(([, , , bytes]) => bytes)]));
  return path;
}

const bytesOf = ({ data }: Tensor) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

describe('forms', () => {
  test.each([
    ['SD3-medium', {}],
    ['SD3.5-medium', { qkNorm: true, dualBlocks: [0] }],
    ['SD3.5-large', { qkNorm: true }],
  ] as const)('%s, bare or with a prefix', async (form, parts) => {
    const config = smallMmdit({ ...parts, dualBlocks: [...('dualBlocks' in parts ? [0] : [])] });
    const weights = randomWeights(config);
    for (const prefix of ['', PREFIX]) {
      const path = await written(withPrefix(weights, prefix));
      const read = await readSd3(path, SIZE);
      const { parameters, ...layout } = read;
      expect(layout).toEqual({ config, form, prefix });
      expect(isEqual(parameters, flatOf(config, weights))).toBe(true);
    }
  });

  test('tensors of text encoders and of the decoder are left alone', async () => {
    const config = smallMmdit();
    const tensors = withPrefix(randomWeights(config), PREFIX);
    tensors.set('first_stage_model.decoder.conv_in.weight', float32(new Float32Array(2), [2]));
    expect((await readSd3(await written(tensors), SIZE)).form).toBe('SD3-medium');
  });
});

describe('number types', () => {
  const config = smallMmdit();
  const weights = randomWeights(config);

  test.each([
    ['float16', float32ToFloat16, 2 ** -11],
    ['bfloat16', float32ToBfloat16, 2 ** -8],
  ] as const)('%s, to its rounding', async (dtype, narrow, rounding) => {
    const stored = new Map<string, Tensor>(
      [...weights].map(([name, { shape, data }]) => [name, { dtype, shape, data: narrow(data) }]),
    );
    const { parameters } = await readSd3(await written(stored), SIZE);
    const isNear = (value: number, i: number) =>
      Math.abs(parameters[i]! - value) <= rounding * Math.abs(value) + 1e-7;
    expect(flatOf(config, weights).every(isNear)).toBe(true);
  });

  /** The network with one weight in float8, and what that weight then is before its scale. */
  const layer = 'joint_blocks.0.x_block.mlp.fc1';
  const count = weights.get(`${layer}.weight`)!.data.length;
  const bytes = Uint8Array.from({ length: count }, (_, i) => (i * 37) % 120);
  const others = [...weights].flatMap(([name, tensor]) =>
    name === `${layer}.weight`
      ? []
      : [[name, 'F32' as FileDtype, tensor.shape, bytesOf(tensor)] as const],
  );
  const scale = [[], bytesOf(float32(Float32Array.of(0.375), []))] as const;

  test.each([
    ['e4m3', 'F8_E4M3', 'alone', [], 1],
    ['e5m2', 'F8_E5M2', 'alone', [], 1],
    [
      'e4m3',
      'F8_E4M3',
      'with scale_weight',
      ['.scale_weight', '.scale_input', 'scaled_fp8'],
      0.375,
    ],
    ['e4m3', 'F8_E4M3', 'with weight_scale', ['.weight_scale', '.input_scale'], 0.375],
  ] as const)('%s, %s %s', async (format, dtype, _title, extras, factor) => {
    const shape = weights.get(`${layer}.weight`)!.shape;
    const path = await writtenRaw([
      ...others,
      ...extras.map((end) => {
        const name = end.startsWith('.') ? layer + end : end;
        return [name, 'F32' as FileDtype, ...scale] as const;
      }),
      [`${layer}.weight`, dtype, shape, bytes],
    ]);
    const { parameters } = await readSd3(path, SIZE);
    const spec = parameterList(config).specs.find(({ name }) => name === `${layer}.weight`)!;
    const expected = float8ToFloat32(bytes, format).map((v) => v * factor);
    const found = parameters.subarray(spec.offset, spec.offset + spec.size);
    expect(isEqual(found, expected)).toBe(true);
  });

  test('a scale for each row is refused, as is a weight of whole numbers', async () => {
    const shape = weights.get(`${layer}.weight`)!.shape;
    const rows = bytesOf(float32(new Float32Array(shape[0]!), [shape[0]!]));
    const path = await writtenRaw([
      ...others,
      [`${layer}.weight_scale`, 'F32', [shape[0]!], rows],
      [`${layer}.weight`, 'I8', shape, bytes],
    ]);
    await expect(readSd3(path, SIZE)).rejects.toMatchObject({
      code: 'MODEL_INVALID',
      message: expect.stringMatching(/fc1\.weight is I8.*weight_scale has 512 numbers/),
    });
  });
});

describe('refusals name what was found and what is expected', () => {
  const config = smallMmdit();

  test.each([
    ['model.diffusion_model.label_emb.0.0.weight', 'Stable Diffusion XL'],
    ['model.diffusion_model.input_blocks.0.0.weight', 'Stable Diffusion 1 or 2'],
    ['double_blocks.0.img_attn.qkv.weight', 'FLUX'],
    ['transformer_blocks.0.attn.add_q_proj.weight', "in Diffusers' layout"],
    ['lora_unet_joint_blocks_0_x_block_attn_qkv.lora_down.weight', 'a LoRA'],
    ['decoder.conv_in.weight', 'an autoencoder'],
    ['something.weight', 'an unknown network (with a tensor "something.weight")'],
  ])('a file with %s', async (name, found) => {
    const path = await written(new Map([[name, float32(new Float32Array(1), [1])]]));
    await expect(readSd3(path)).rejects.toMatchObject({
      code: 'MODEL_INVALID',
      message: expect.stringContaining(found),
      details: { hint: expect.stringContaining('joint_blocks.0.context_block.attn.qkv.weight') },
    });
  });

  test('all that is missing, unknown and of another shape, at once', async () => {
    const tensors: Map<string, Tensor> = new Map(randomWeights(config));
    tensors.delete('t_embedder.mlp.2.bias');
    tensors.set('y_embedder.mlp.2.bias', float32(new Float32Array(3), [3]));
    tensors.set('context_processor.layers.0.weight', float32(new Float32Array(1), [1]));
    await expect(readSd3(await written(tensors), SIZE)).rejects.toMatchObject({
      code: 'MODEL_INVALID',
      message: expect.stringMatching(
        /y_embedder\.mlp\.2\.bias is \[3\], the network needs \[128\]; missing: t_embedder\.mlp\.2\.bias; unknown: context_processor/,
      ),
    });
  });

  test('latents larger than the position table', async () => {
    const path = await written(randomWeights(config));
    await expect(readSd3(path, { height: 12, width: 4 })).rejects.toMatchObject({
      code: 'MODEL_INVALID',
      message: expect.stringContaining('more patches than the position table'),
    });
  });

  test('a width that is no whole number of heads', async () => {
    const tensors: Map<string, Tensor> = new Map(randomWeights(config));
    tensors.set('x_embedder.proj.weight', float32(new Float32Array(100 * 12), [100, 3, 2, 2]));
    await expect(readSd3(await written(tensors), SIZE)).rejects.toMatchObject({
      code: 'MODEL_INVALID',
      message: expect.stringContaining('depth'),
    });
  });

  test('a header with any one tensor dropped or of any shape gives a model or MODEL_INVALID', () => {
    const weights = randomWeights(config);
    const names = [...weights.keys()];
    const entries = [...weights].map(
      ([name, { shape }]) => [name, { dtype: 'F32' as const, shape, begin: 0, end: 0 }] as const,
    );
    const change = fc.record({
      name: fc.constantFrom(...names),
      shape: fc.option(fc.array(fc.integer({ min: 0, max: 200 }), { maxLength: 4 })),
    });
    const tried = fc.property(change, ({ name, shape }) => {
      const tensors = new Map(entries);
      if (shape) tensors.set(name, { ...tensors.get(name)!, shape });
      else tensors.delete(name);
      const isSame = shape !== null && sameShape(shape, weights.get(name)!.shape);
      let code: string | undefined;
      try {
        recogniseSd3('file', { metadata: {}, tensors }, SIZE);
      } catch (error) {
        code = error instanceof FlowstepError ? error.code : String(error);
      }
      // The widths of text are whatever the file has: one tensor decides them.
      const isWidth = ['context_embedder.weight', 'y_embedder.mlp.0.weight'].includes(name);
      if (isSame) expect(code).toBeUndefined();
      else if (code !== undefined || !isWidth) expect(code).toBe('MODEL_INVALID');
    });
    fc.assert(tried, { seed: 5, numRuns: 60 });
  });
});
