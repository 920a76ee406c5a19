/**
 * @file The first steps of distillations in one precision, as a process has one: prints curves, one object a start. A start
 * has weights and noise of its own; those of the first are those of `verify:cuda`.
 *
 *     precision-curve CONFIG float32|bfloat16|float16 STARTS
 */
import { NetworkConfigSchema } from '../src/trainer/nn/config.ts';
import { parameterList } from '../src/trainer/nn/network.ts';
import { initialise } from '../src/trainer/nn/parameters.ts';
import { benchDistiller, benchTeacher } from '../src/trainer/run/bench-jobs.ts';
import { BENCH_CONFIGS, type BenchConfig } from '../src/trainer/run/benchmark.ts';
import { engine } from '../src/trainer/runtime/engine.ts';
import { roundTo } from '../test/support/sixteen-bits.ts';

/** Figures of the steps, by name. */
export type Curve = Readonly<Record<string, readonly number[]>>;

/** As `verify:cuda` has them. */
const STEPS = 20;
const BATCH = 4;

const [config, name, starts] = process.argv.slice(2);
const precision = name === 'bfloat16' || name === 'float16' ? name : 'float32';
const on = engine({ threads: 1, precision });
if (precision !== 'float32') roundTo(precision, on);

const network = NetworkConfigSchema.parse(BENCH_CONFIGS[config as BenchConfig].network);
const list = parameterList(network);
const curves: Curve[] = [];
for (let start = 0; start < Number(starts); start++) {
  const teacher = { ...benchTeacher(network), parameters: initialise(list, start) };
  const distiller = benchDistiller(teacher, BATCH, start);
  const told: Readonly<Record<string, number>>[] = [];
  for (let step = 0; step < STEPS; step++) told.push((await distiller.step(step)).metrics);
  distiller.dispose();
  const figures = Object.keys(told[0]!);
  curves.push(Object.fromEntries(figures.map((figure) => [figure, told.map((t) => t[figure]!)])));
}
process.stdout.write(JSON.stringify(curves));
