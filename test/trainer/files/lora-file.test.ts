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
