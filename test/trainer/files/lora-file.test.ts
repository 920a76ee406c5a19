/** LoRA files: what is written is read again, other people's forms mean the same, and what does not fit is refused. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readLora } from '../../../src/trainer/files/lora-file.ts';
import { type LoraFileOptions, writeLora } from '../../../src/trainer/files/lora-write.ts';
import { readSafetensors, writeSafetensors } from '../../../src/trainer/files/safetensors.ts';
import { LoraConfigSchema, loraParameterList } from '../../../src/trainer/nn/lora.ts';
import { views } from '../../../src/trainer/nn/parameters.ts';
import { float32, type Tensor } from '../../../src/trainer/tensor.ts';
import { goldenCases } from '../../support/golden.ts';
import { normals, smallMmdit } from '../../support/small-mmdit.ts';
import { tempFolder } from '../../support/temp-folder.ts';
import { TINY_MLP } from '../../support/tiny-models.ts';

const NETWORK = smallMmdit();
const LORA = LoraConfigSchema.parse({ rank: 2, alpha: 3, targets: ['attn.qkv', 'fc2'] });
const LIST = loraParameterList(NETWORK, LORA);
const FLAT = normals(LIST.size, 8);
const OPTIONS: LoraFileOptions = { title: 'one step', date: new Date(0) };

async function written(options: Partial<LoraFileOptions> = {}): Promise<string> {
  const path = join(await tempFolder(), 'lora.safetensors');
  await writeLora(path, NETWORK, LORA, FLAT, { ...OPTIONS, ...options });
  return path;
}

async function withTensors(tensors: Record<string, Tensor>): Promise<string> {
  const path = join(await tempFolder(), 'lora.safetensors');
  await writeSafetensors(path, new Map(Object.entries(tensors)));
  return path;
}

const matrix = (rows: number, columns: number) =>
  float32(normals(rows * columns, 4), [rows, columns]);

describe('writing', () => {
  test('and reading gives the same factors for the same weights', async () => {
    const { deltas, ignored } = await readLora(await written(), NETWORK);
    expect(ignored).toEqual([]);
    const factors = views(LIST, FLAT);
    expect(2 * deltas.length).toBe(factors.size);
    for (const { target, up, down, rank, scale, from, to, swapped } of deltas) {
      const layer = target.slice(0, -'.weight'.length);
      expect(up).toEqual(factors.get(`${layer}.lora_up.weight`)!.data);
      expect(down).toEqual(factors.get(`${layer}.lora_down.weight`)!.data);
      expect({ rank, scale, from, swapped }).toEqual({
        rank: 2,
        scale: 1.5,
        from: 0,
        swapped: false,
      });
      expect(to).toBe(up.length / 2);
    }
  });

  test('uses names that ComfyUI accepts', async () => {
    // A network of one block has no feed-forward part for text, so the golden case's names are of its image stream.
    const [golden] = goldenCases('lora');
    const accepted = (golden!.sidecar as { accepted_stems: Record<string, string> }).accepted_stems;
    const { tensors } = await readSafetensors(await written());
    const stems = new Set([...tensors.keys()].map((name) => name.replace(/\..*$/, '')));
    const ofBlock = [...stems].filter((stem) => stem.includes('joint_blocks_0_x_block'));
    expect(ofBlock).toEqual([
      'lora_unet_joint_blocks_0_x_block_attn_qkv',
      'lora_unet_joint_blocks_0_x_block_mlp_fc2',
    ]);
    for (const stem of ofBlock) expect(Object.keys(accepted)).toContain(stem);
  });

  test.each(['float16', 'bfloat16'] as const)('in %s, with alpha exact', async (dtype) => {
    const path = await written({ dtype });
    const { tensors } = await readSafetensors(path);
    const types = new Set([...tensors.values()].map((tensor) => tensor.dtype));
    expect(types).toEqual(new Set([dtype, 'float32']));
    const { deltas } = await readLora(path, NETWORK);
    expect(deltas[0]!.scale).toBe(1.5);
  });

  test("carries kohya's metadata, the hash of the data among it", async () => {
    const path = await written({ metadata: { 'flowstep.tStar': '1' } });
    const bytes = await readFile(path);
    const data = bytes.subarray(8 + Number(bytes.readBigUInt64LE(0)));
    expect((await readSafetensors(path)).metadata).toMatchObject({
      ss_network_module: 'networks.lora_sd3',
      ss_network_dim: '2',
      ss_network_alpha: '3',
      ss_base_model_version: 'sd3_m',
      sshs_model_hash: createHash('sha256').update(data).digest('hex'),
      'modelspec.architecture': 'stable-diffusion-3-medium/lora',
      'modelspec.title': 'one step',
      'modelspec.date': '1970-01-01T00:00:00.000Z',
      'modelspec.resolution': '48x32',
      'flowstep.tStar': '1',
    });
  });

  test('says of other networks than Stable Diffusion 3 that they are ours', async () => {
    const lora = LoraConfigSchema.parse({ rank: 1, alpha: 1, targets: ['0'] });
    const path = join(await tempFolder(), 'lora.safetensors');
    const size = loraParameterList(TINY_MLP, lora).size;
    await writeLora(path, TINY_MLP, lora, new Float32Array(size), OPTIONS);
    const { metadata } = await readLora(path, TINY_MLP);
    expect(metadata['modelspec.architecture']).toBe('flowstep-mlp-v1/lora');
    expect(metadata).not.toHaveProperty('ss_base_model_version');
  });
});

describe('reading', () => {
  const STEM = 'transformer.transformer_blocks.0.attn.to_k';

  test.each([
    ['.lora_B.weight', '.lora_A.weight'],
    ['.lora.up.weight', '.lora.down.weight'],
    ['_lora.up.weight', '_lora.down.weight'],
    ['.lora_linear_layer.up.weight', '.lora_linear_layer.down.weight'],
    ['.lora_B.default.weight', '.lora_A.default.weight'],
    ['.lora_B', '.lora_A'],
    ['.lora_up.weight', '.lora_down.weight'],
  ])('takes factors that end in %s', async (up, down) => {
    const path = await withTensors({ [STEM + up]: matrix(128, 2), [STEM + down]: matrix(2, 128) });
    const { deltas } = await readLora(path, NETWORK);
    expect(deltas).toMatchObject([
      { target: 'joint_blocks.0.x_block.attn.qkv.weight', from: 128, to: 256, rank: 2, scale: 1 },
    ]);
  });

  test('leaves text encoders out and says so', async () => {
    const te = 'lora_te1_text_model_encoder_layers_0_mlp_fc1.lora_up.weight';
    const path = await withTensors({
      [`${STEM}.lora_B.weight`]: matrix(128, 2),
      [`${STEM}.lora_A.weight`]: matrix(2, 128),
      [te]: matrix(8, 2),
    });
    const { deltas, ignored } = await readLora(path, NETWORK);
    expect([deltas.length, ignored]).toEqual([1, [te]]);
  });

  const pair = {
    [`${STEM}.lora_B.weight`]: matrix(128, 2),
    [`${STEM}.lora_A.weight`]: matrix(2, 128),
  };
  const rename = (from: string, to: string) =>
    Object.fromEntries(Object.entries(pair).map(([name, t]) => [name.replace(from, to), t]));

  test.each([
    [
      'another base by its names',
      rename('blocks.0', 'blocks.7'),
      /mmdit has no layer for: transformer\.transformer_blocks\.7/,
    ],
    [
      'another base by its shapes',
      { ...pair, [`${STEM}.lora_A.weight`]: matrix(2, 192) },
      /to_k is \[128, 2\] times \[2, 192\], the network's weight is \[128, 128\]/,
    ],
    ['half a pair', { [`${STEM}.lora_A.weight`]: matrix(2, 128) }, /to_k has no up factor/],
    [
      'DoRA',
      { ...pair, [`${STEM}.dora_scale`]: matrix(1, 128) },
      /more than LoRA pairs: .*dora_scale/,
    ],
    ['LoHa', { [`${STEM}.hada_w1_a`]: matrix(128, 2) }, /more than LoRA pairs: .*hada_w1_a/],
    ['nothing', { 'text_model.lora_up.weight': matrix(8, 2) }, /changes nothing/],
    [
      'an alpha of two numbers',
      { ...pair, [`${STEM}.alpha`]: matrix(1, 2) },
      /alpha is not one number/,
    ],
  ])('refuses a file with %s', async (_title, tensors, message) => {
    await expect(readLora(await withTensors(tensors), NETWORK)).rejects.toMatchObject({
      code: 'MODEL_INVALID',
      message: expect.stringMatching(message),
    });
  });
});
