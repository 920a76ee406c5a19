/** @file A small MM-DiT with random weights that all have an effect. */
import { type MmditConfig, MmditConfigSchema } from '../../src/trainer/nn/config.ts';
import { parameterList } from '../../src/trainer/nn/network.ts';
import { fillNormal } from '../../src/trainer/random/philox.ts';
import { float32, type Tensor } from '../../src/trainer/tensor.ts';

/** Two blocks, latents of 4 x 6; `form` says what SD3.5 adds. */
export function smallMmdit(form: Partial<MmditConfig> = {}): MmditConfig {
  return MmditConfigSchema.parse({
    kind: 'mmdit',
    depth: 2,
    height: 4,
    width: 6,
    channels: 3,
    positions: 5,
    contextWidth: 7,
    pooledWidth: 5,
    ...form,
  });
}

/** Normal numbers with standard deviation `std`; a stream of its own for each seed. */
export function normals(count: number, seed: number, std = 1): Float32Array {
  const out = new Float32Array(count);
  fillNormal(out, seed, 0, 0);
  return out.map((x) => std * x);
}

/** Random weights of a network by name; small, so that the network's output stays so. */
export function randomWeights(config: MmditConfig, seed = 3): Map<string, Tensor<'float32'>> {
  const list = parameterList(config);
  const flat = normals(list.size, seed, 0.1);
  return new Map(
    list.specs.map(({ name, shape, offset, size }) => [
      name,
      float32(flat.slice(offset, offset + size), shape),
    ]),
  );
}
