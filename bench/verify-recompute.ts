/**
 * @file `npm run verify:recompute`: what recomputing the blocks saves of the peak of `dit-s`, and what it costs.
 *
 * Both forms run in turn as processes of their own with one thread; time is the processor's, which other work on the
 * machine disturbs less than the clock's.
 */
import { parseArgs } from 'node:util';
import { type Measured, measured } from './memory-configs.ts';
import { mergeResults } from './results.ts';

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '3' } } });
const STEPS = 4;

const runs: Record<'kept' | 'recomputed', Measured[]> = { kept: [], recomputed: [] };
for (let round = 0; round < Number(values.rounds); round++) {
  for (const name of ['kept', 'recomputed'] as const) {
    const options = { recompute: name === 'recomputed', steps: STEPS, threads: 1 };
    runs[name].push(await measured('dit-s', options));
  }
}
const mib = (bytes: number) => Math.round(bytes / 2 ** 20);
const least = (numbers: readonly number[]) => Math.min(...numbers);
const summary = (of: readonly Measured[]) => ({
  processMib: mib(least(of.map(({ baseBytes, peakBytes }) => baseBytes + peakBytes))),
  trainingMib: mib(least(of.map(({ peakBytes }) => peakBytes))),
  cpuMs: least(of.map(({ cpuMs }) => cpuMs!)),
  loss: of[0]!.loss,
});
const kept = summary(runs.kept);
const recomputed = summary(runs.recomputed);
const ratio = (key: 'processMib' | 'trainingMib' | 'cpuMs') =>
  Number((recomputed[key] / kept[key]).toFixed(3));
const result = {
  kept,
  recomputed,
  ratio: {
    processMib: ratio('processMib'),
    trainingMib: ratio('trainingMib'),
    cpuMs: ratio('cpuMs'),
  },
  sameLoss: kept.loss === recomputed.loss,
  rounds: Number(values.rounds),
};
console.log(JSON.stringify(result));
await mergeResults('verify-recompute', 'dit-s', result);
