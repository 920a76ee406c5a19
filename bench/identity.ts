/**
 * @file `npm run verify:identity`: the identities behind FGM with exact velocities, and what a learned online flow leaves.
 *
 *     npm run verify:identity -- [--seed S] [--threads N]
 *
 * The same as `flowstep verify identity`, with the result saved.
 */
import { parseArgs } from 'node:util';
import { engine } from '../src/trainer/runtime/engine.ts';
import { measureIdentity } from '../src/trainer/theory/identity.ts';
import { mergeResults } from './results.ts';

const { values } = parseArgs({
  options: { seed: { type: 'string', default: '0' }, threads: { type: 'string' } },
});
const { threads } = engine(values.threads ? { threads: Number(values.threads) } : {});
const start = performance.now();
const { settings, online, verdict, seed } = await measureIdentity({
  seed: Number(values.seed),
  online: true,
  onStage: (what) => console.log(what),
});
const seconds = Number(((performance.now() - start) / 1000).toFixed(1));
const cpu = process.cpuUsage();
const cpuSeconds = Number(((cpu.user + cpu.system) / 1e6).toFixed(1));
const figure = (value: number) => Number(value.toPrecision(6));
for (const setting of settings) {
  const rows = setting.rows.map(({ what, expected, found, gap, margin, verdict: of }) => ({
    what,
    expected: figure(expected),
    found: figure(found),
    gap: figure(gap),
    margin: figure(margin),
    verdict: of,
  }));
  console.log(setting.name, setting.verdict);
  await mergeResults('identity', setting.name, { ...setting, rows, seed });
}
await mergeResults('identity', 'online', {
  gaps: online?.map(({ steps, gap, cosine }) => ({
    steps,
    gap: figure(gap),
    cosine: figure(cosine),
  })),
  seed,
});
await mergeResults('identity', 'all', { verdict, seconds, cpuSeconds, threads });
console.log(`${verdict} after ${seconds} s`);
process.exitCode = verdict === 'holds' ? 0 : 1;
