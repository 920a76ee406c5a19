/** @file `flowstep bench`: milliseconds of a training step, an FGM iteration and a sample on this machine. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import {
  BENCH_CONFIGS,
  type BenchConfig,
  type BenchResult,
  benchmark,
} from '../trainer/run/benchmark.ts';
import { addEngineOptions, type EngineChoice } from './engine-options.ts';
import { examples, type Io } from './io.ts';
import { wholeNumber } from './options.ts';

interface Options extends EngineChoice {
  readonly config: BenchConfig;
  readonly batch?: number;
  readonly seconds: number;
  readonly json?: true;
}

/** Adds the command to the program. */
export function addBenchCommand(program: Command, io: Io): void {
  addEngineOptions(program.command('bench'))
    .description('Time training and sampling of a network on this machine.')
    .addOption(
      new Option('--config <NAME>', 'network')
        .choices(Object.keys(BENCH_CONFIGS))
        .default('mlp-2d'),
    )
    .option('--batch <N>', 'samples a step', wholeNumber(1, 65_536))
    .option('--seconds <S>', 'time spent on each figure', positive, 5)
    .option('--json', 'print one JSON object')
    .addHelpText('before', examples('flowstep bench --config dit-s --json'))
    .action(async (options: Options) => {
      const result = await benchmark(options);
      if (options.json) io.stdout.write(`${JSON.stringify(result)}\n`);
      else for (const line of benchLines(result)) io.stdout.write(`${line}\n`);
    });
}

function benchLines({ roofline, ...figures }: BenchResult): string[] {
  const { achieved_flops, matmul_flops, achieved_bytes, copy_bytes } = roofline;
  const { share_of_matmul, share_of_copy } = roofline;
  const giga = (value: number) => (value / 1e9).toFixed(1);
  const percent = (share: number) => `${(100 * share).toFixed(0)} %`;
  const row = (name: string, value: unknown) => `${name.padEnd(12)} ${value}`;
  return [
    ...Object.entries(figures).map(([name, value]) => row(name, value)),
    row(
      'roofline',
      `${giga(achieved_flops)} of ${giga(matmul_flops)} GFLOP/s (${percent(share_of_matmul)}), ${giga(achieved_bytes)} of ${giga(copy_bytes)} GB/s (${percent(share_of_copy)})`,
    ),
  ];
}

function positive(text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidArgumentError('It must be a number above 0.');
  return value;
}
