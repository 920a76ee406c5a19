/** @file Figures of networks, samples and adapters, to be compared. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { openPrompts } from '../../src/trainer/data/prompts.ts';
import { readSafetensors } from '../../src/trainer/files/safetensors.ts';
import { prepareNoise } from '../../src/trainer/random/torch-noise.ts';
import { loadModel } from '../../src/trainer/run/model-file.ts';
import { Sampler } from '../../src/trainer/run/sample.ts';

/** Of our network at the noise of a seed, under the text of the only prompt set in the folder. */
export async function velocity(
  file: string,
  folder: string,
  shape: readonly number[],
  seed: number,
  time: number,
): Promise<Float32Array> {
  const model = await loadModel(file);
  const [count, , height, width] = shape as [number, number, number, number];
  const { network } = model.info;
  if (network.kind !== 'mmdit') throw new Error(`${file} is a ${network.kind}`);
  const sized = { ...model, info: { ...model.info, network: { ...network, height, width } } };
  const [prompts] = await readdir(folder);
  const set = await openPrompts('prompts', join(folder, prompts!));
  const noise = prepareNoise(shape, seed).data;
  const sampler = new Sampler(sized, 'euler', count, { tokens: set.tokens });
  const moved = noise.slice();
  await sampler.integrate(moved, [{ t: time, dt: 1 }], { text: await set.rows(Int32Array.of(0)) });
  sampler.dispose();
  return noise.map((x, i) => x - moved[i]!);
}

/** Relative to the largest value of the second. */
export function largestGap(a: Float32Array, b: Float32Array): number {
  if (a.length !== b.length) throw new Error(`${a.length} and ${b.length} values`);
  const scale = b.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  return a.reduce((gap, x, i) => Math.max(gap, Math.abs(x - b[i]!)), 0) / scale;
}

/** Frobenius norm of the factors' products, all layers together, at most: 0 for fresh adapters. */
export async function deltaNorm(file: string): Promise<number> {
  const { tensors } = await readSafetensors(file);
  let squares = 0;
  for (const [name, up] of tensors) {
    if (!name.endsWith('.lora_up.weight')) continue;
    const down = tensors.get(name.replace('.lora_up.', '.lora_down.'))!;
    const [rows, rank] = up.shape as [number, number];
    const inputs = down.shape[1]!;
    const [u, d] = [up.data as Float32Array, down.data as Float32Array];
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < inputs; c++) {
        let sum = 0;
        for (let k = 0; k < rank; k++) sum += u[r * rank + k]! * d[k * inputs + c]!;
        squares += sum * sum;
      }
    }
  }
  return Math.sqrt(squares);
}
