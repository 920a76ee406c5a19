/**
 * @file `npm run verify:webgpu`: FGM iterations on WebGPU beside the CPU - losses, samples, and what the host has to do.
 * Without a GPU it runs in software, where the time of a step says nothing, but that of starting one does.
 */
import { parseArgs } from 'node:util';
import {
  NO_WEBGPU,
  type Spread,
  type StepTimes,
  type Training,
  trained,
} from '../test/webgpu/gpu.ts';
import { mergeResults } from './results.ts';

const { values } = parseArgs({ options: { steps: { type: 'string', default: '60' } } });
const CURVE = 20;
const RATE = 1e-3;

if (NO_WEBGPU) throw new Error(NO_WEBGPU);
const steps = Number(values.steps);

const round = (x: number) => Number(x.toPrecision(3));

/** Largest difference of a metric, relative to its size and to 1 at least. */
function curveGap(name: string, a: Training, b: Training): number {
  const gaps = b.curve.slice(0, CURVE).map((metrics, i) => {
    const [x, y] = [a.curve[i]![name]!, metrics[name]!];
    return Math.abs(x - y) / Math.max(1, Math.abs(y));
  });
  return round(Math.max(...gaps));
}

const sampleGap = (a: readonly number[], b: readonly number[]) =>
  round(Math.max(...b.map((x, i) => Math.abs(a[i]! - x))));

const rounded = ({ median, least }: Spread) => ({ median: round(median), least: round(least) });

/** Milliseconds; the least where other work disturbs. */
function times({ startMs, hostMs, stepMs }: StepTimes) {
  const starts = Object.entries(startMs).map(([name, spread]) => [name, rounded(spread)]);
  return { startMs: Object.fromEntries(starts), hostMs: rounded(hostMs), stepMs: round(stepMs) };
}

/** Of training a teacher, and of distilling it. */
function allTimes(training: Training) {
  return { teacher: times(training.teaching!), distillation: times(training) };
}

for (const config of ['dit-xs', 'unet-xs'] as const) {
  const task = { config, steps, rate: RATE };
  const cpu = await trained({ ...task, device: 'cpu' });
  const recorded = await trained({ ...task, device: 'webgpu', teaches: true });
  const plain = await trained({ ...task, device: 'webgpu', capture: false, teaches: true });
  const [before, after] = recorded.residentBytes;
  const result = {
    steps,
    ...(process.env['VK_ICD_FILENAMES']?.includes('flowstep') && { device: 'in software' }),
    lossGaps: Object.fromEntries(
      ['loss/online', 'loss/student', 'distance/student'].map((name) => [
        name,
        curveGap(name, recorded, cpu),
      ]),
    ),
    sampleGap: sampleGap(recorded.teacher, cpu.teacher),
    recorded: allTimes(recorded),
    notRecorded: allTimes(plain),
    sameRecorded: recorded.state === plain.state,
    grownMib: round((after - before) / 2 ** 20),
  };
  console.log(config, JSON.stringify(result));
  await mergeResults('verify-webgpu', config, result);
}
