/** @file Networks and batches whose memory is measured, and the process that measures. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type NetworkConfig, NetworkConfigSchema } from '../src/trainer/nn/config.ts';
import { BENCH_CONFIGS } from '../src/trainer/run/benchmark.ts';

export const MEMORY_CONFIGS = {
  'dit-s': { network: BENCH_CONFIGS['dit-s'].network, batch: 64 },
  'unet-s': { network: BENCH_CONFIGS['unet-s'].network, batch: 16 },
  'dit-b': {
    network: { kind: 'dit', size: 32, channels: 3, patch: 4, width: 512, depth: 8, heads: 8 },
    batch: 16,
  },
} as const;

export type MemoryConfig = keyof typeof MEMORY_CONFIGS;

export const isMemoryConfig = (name: string): name is MemoryConfig => name in MEMORY_CONFIGS;

export const memoryNetwork = (config: MemoryConfig): NetworkConfig =>
  NetworkConfigSchema.parse(MEMORY_CONFIGS[config].network);

export interface Measured {
  /** Resident memory before anything of the network's size is allocated. */
  readonly baseBytes: number;
  /** Largest resident memory beyond that. */
  readonly peakBytes: number;
  /** Processor time of a step, the median; missing when there was but one. */
  readonly cpuMs?: number;
  /** The student's loss at the last step. */
  readonly loss: number;
}

/** Distils `steps` steps in a process of its own. */
export async function measured(
  config: MemoryConfig,
  options: { readonly recompute: boolean; readonly steps: number; readonly threads: number },
): Promise<Measured> {
  const worker = fileURLToPath(new URL('./memory-worker.ts', import.meta.url));
  const { recompute, steps, threads } = options;
  const settings = [MEMORY_CONFIGS[config].batch, recompute, steps, threads].map(String);
  const { stdout } = await promisify(execFile)(process.execPath, [
    ...['--import', 'tsx', worker, config],
    ...settings,
  ]);
  return JSON.parse(stdout) as Measured;
}
