/** @file The first steps of a small distillation in a precision, as JSON: a process computes in one. */
import { NetworkConfigSchema } from '../../../src/trainer/nn/config.ts';
import { benchDistiller, benchTeacher, firstSteps } from '../../../src/trainer/run/bench-jobs.ts';
import { BENCH_CONFIGS } from '../../../src/trainer/run/benchmark.ts';
import { engine } from '../../../src/trainer/runtime/engine.ts';

const [precision, factor] = process.argv.slice(2);
engine({ threads: 1, precision: precision === 'float16' ? 'float16' : 'float32' });
const network = NetworkConfigSchema.parse(BENCH_CONFIGS['dit-xs'].network);
if (factor === undefined) {
  console.log(JSON.stringify(await firstSteps(network, 4, 5)));
} else {
  // Weights of that size: so large that gradients overflow until their scale has come down.
  const teacher = benchTeacher(network);
  const large = teacher.parameters.map((_, i) => Number(factor) * Math.sin(12.9898 * i));
  const distiller = benchDistiller({ ...teacher, parameters: large }, 4);
  const told = [];
  for (let step = 0; step < 12; step++) told.push(await distiller.step(step));
  distiller.dispose();
  console.log(JSON.stringify(told));
}
