/**
 * @file Checkpoints of the exact architecture of Stable Diffusion 3, of a size for tests: a few blocks, with random weights
 * that all have an effect. `npx tsx test/support/tiny-sd3.ts FORM FILE` writes one.
 */
import { fileURLToPath } from 'node:url';
import { writeSafetensors } from '../../src/trainer/files/safetensors.ts';
import type { Sd3Form } from '../../src/trainer/files/sd3-checkpoint.ts';
import { type MmditConfig, MmditConfigSchema } from '../../src/trainer/nn/config.ts';
import { parameterList } from '../../src/trainer/nn/network.ts';
import { float32, sizeOf, type Tensor } from '../../src/trainer/tensor.ts';
import { normals } from './small-mmdit.ts';

const FORMS: Readonly<Record<Sd3Form, Partial<MmditConfig>>> = {
  'SD3-medium': {},
  'SD3.5-medium': { qkNorm: true, dualBlocks: [0] },
  'SD3.5-large': { qkNorm: true },
};

/** Two blocks, short texts, and a position table that covers pictures of 1024 x 1024 unless told otherwise. */
export function tinySd3(form: Sd3Form, changes: Partial<MmditConfig> = {}): MmditConfig {
  return MmditConfigSchema.parse({
    kind: 'mmdit',
    depth: 2,
    positions: 64,
    contextWidth: 48,
    pooledWidth: 32,
    ...FORMS[form],
    ...changes,
  });
}

/** Writes the checkpoint; `prefix` stands before its tensors' names, as in files that hold more than the network. */
export async function writeTinySd3(
  path: string,
  form: Sd3Form,
  options: {
    readonly seed?: number;
    readonly prefix?: string;
    readonly changes?: Partial<MmditConfig>;
  } = {},
): Promise<void> {
  const { seed = 31, prefix = '', changes } = options;
  const tensors = new Map<string, Tensor>();
  for (const [i, { name, shape }] of parameterList(tinySd3(form, changes)).specs.entries()) {
    const { std, mean } = spreadOf(name, shape);
    const data = normals(sizeOf(shape), seed + i, std).map((x) => x + mean);
    tensors.set(prefix + name, float32(data, shape));
  }
  await writeSafetensors(path, tensors);
}

/** So that signals keep about their size from layer to layer. */
function spreadOf(name: string, shape: readonly number[]): { std: number; mean: number } {
  if (name === 'pos_embed') return { std: 0.7, mean: 0 };
  if (/\.ln_[qk]\./.test(name)) return { std: 0.25, mean: 1 };
  if (name.endsWith('.bias')) return { std: 0.2, mean: 0 };
  return { std: 1 / Math.sqrt(sizeOf(shape.slice(1))), mean: 0 };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [form, path] = process.argv.slice(2);
  if (!form || !(form in FORMS) || !path) throw new Error(`${Object.keys(FORMS).join('|')} FILE`);
  await writeTinySd3(path, form as Sd3Form);
}
