/** @file A worker process that soon misses others: `sweep-worker.ts SWEEP REDIS_URL OUTPUT`. Tells each job on stdout. */
import { writeSync } from 'node:fs';
import { readRoots } from '../../src/config.ts';
import { runWorker } from '../../src/host/sweep/worker.ts';
import { allNodes } from '../../src/nodes/all-nodes.ts';
import { engine } from '../../src/trainer/runtime/engine.ts';

const [sweep, redisUrl, output] = process.argv.slice(2) as [string, string, string];
const stop = new AbortController();
process.on('SIGTERM', () => stop.abort());
engine({ threads: 1 });
await runWorker({
  sweep,
  redisUrl,
  registry: allNodes(),
  roots: readRoots({}, { output }),
  signal: stop.signal,
  timing: { lockMs: 2000, stalledCheckMs: 500, giveUpMs: 5000 },
  // Straight to the pipe: the process may be killed at any moment.
  onNotice: (message) => void writeSync(1, `${message}\n`),
});
