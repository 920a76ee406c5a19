/**
 * @file One measurement on one device, as a process has one: prints one JSON object.
 *
 *     cuda-row curve CONFIG [--batch B] [--steps N] [--device D] [--precision P]
 *     cuda-row bench CONFIG [--seconds S] [--device D] [--precision P]
 */
import { parseArgs } from 'node:util';
import { asFlowstepError } from '../src/errors.ts';
import { NetworkConfigSchema } from '../src/trainer/nn/config.ts';
import { firstSteps } from '../src/trainer/run/bench-jobs.ts';
import { BENCH_CONFIGS, type BenchConfig, benchmark } from '../src/trainer/run/benchmark.ts';
import { engine } from '../src/trainer/runtime/engine.ts';
import { DEVICES, type Device } from '../src/trainer/runtime/library.ts';
import { computeOptions, PRECISIONS } from '../src/trainer/runtime/providers.ts';

const { values, positionals } = parseArgs({
  options: {
    device: { type: 'string', default: 'cpu' },
    precision: { type: 'string', default: 'fp32' },
    batch: { type: 'string', default: '4' },
    steps: { type: 'string', default: '20' },
    seconds: { type: 'string', default: '5' },
    // CUDA graphs: programs are recorded once and replayed.
    graphs: { type: 'boolean', default: false },
    // Refuse programs with operators that the card has no kernel for, rather than compute those on the processor.
    strict: { type: 'boolean', default: false },
    // Further options of the provider, NAME=VALUE.
    option: { type: 'string', multiple: true, default: [] },
  },
  allowPositionals: true,
});

async function row(): Promise<object> {
  const [kind, name] = positionals;
  const device = DEVICES.find((known): known is Device => known === values.device);
  if (device === undefined || name === undefined || !(name in BENCH_CONFIGS)) {
    throw new Error(`usage: cuda-row curve|bench ${Object.keys(BENCH_CONFIGS).join('|')}`);
  }
  const config = name as BenchConfig;
  const precision = PRECISIONS.find((known) => known === values.precision);
  const { providerOptions, ...computed } = computeOptions(device, { precision });
  const more = Object.fromEntries(values.option.map((text) => text.split('=', 2)));
  const { api } = engine({
    ...{ device, ...computed, providerOptions: { ...providerOptions, ...more } },
    ...(values.graphs && { capture: true }),
    cpuFallback: !values.strict,
  });
  if (kind === 'bench') return benchmark({ config, seconds: Number(values.seconds) });
  const network = NetworkConfigSchema.parse(BENCH_CONFIGS[config].network);
  const told = await firstSteps(network, Number(values.batch), Number(values.steps));
  const curve = (figure: string) => told.map((step) => step[figure]);
  return {
    version: api.version,
    online: curve('loss/online'),
    student: curve('loss/student'),
    gradient: curve('norm/student'),
  };
}

try {
  process.stdout.write(`${JSON.stringify(await row())}\n`);
} catch (thrown) {
  const { code, message, hint, details } = asFlowstepError(thrown);
  const said = details.cause instanceof Error ? details.cause.message : undefined;
  process.stdout.write(`${JSON.stringify({ error: { code, message, hint, said } })}\n`);
  process.exitCode = 1;
}
