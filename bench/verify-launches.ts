/**
 * @file `npm run verify:launches`: what FGM iterations ask an NVIDIA card for, without one. ONNX Runtime's own CUDA provider
 * runs on a stand-in that computes nothing: kernels, copies and memory are those of a card, times are the host's alone.
 */
import { parseArgs } from 'node:util';
import type { BenchConfig } from '../src/trainer/run/benchmark.ts';
import { type LaunchResult, launches, NO_CUDA } from '../test/cuda/card.ts';
import { mergeResults } from './results.ts';

const { values } = parseArgs({
  options: {
    configs: { type: 'string', default: 'dit-s,dit-b,unet-cifar,mmdit-s' },
    precisions: { type: 'string', default: 'fp32,bf16' },
  },
});
if (NO_CUDA) throw new Error(NO_CUDA);
const STEPS = 9;

/** Of an iteration: its four programs together. */
function iteration({ programs, mostBytes }: LaunchResult) {
  const sum = (of: 'kernels' | 'products' | 'byCudnn' | 'copiesOnCard' | 'replays' | 'hostMs') =>
    Number(
      Object.values(programs)
        .reduce((total, program) => total + program[of], 0)
        .toFixed(2),
    );
  return {
    kernels: sum('kernels'),
    products: sum('products'),
    byCudnn: sum('byCudnn'),
    copiesOnCard: sum('copiesOnCard'),
    replays: sum('replays'),
    hostMs: sum('hostMs'),
    memoryMib: Math.round(mostBytes / 2 ** 20),
  };
}

for (const config of values.configs.split(',') as BenchConfig[]) {
  const rows: Record<string, object> = {};
  for (const precision of values.precisions.split(',') as ('fp32' | 'bf16')[]) {
    const measured = async (graphs: boolean) =>
      iteration(await launches({ config, precision, graphs, steps: STEPS }));
    rows[precision] = { started: await measured(false), recorded: await measured(true) };
    console.log(config, precision, JSON.stringify(rows[precision]));
  }
  await mergeResults('verify-launches', config, rows);
}
