/**
 * @file `npm run demo`: trains and distils points in the plane from nothing, then makes pictures with the Fashion-MNIST
 * student that comes with the package. Takes a minute or two on two cores.
 */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Subject } from 'rxjs';
import { showProgress } from '../src/cli/progress.ts';
import { errorText, exitCodeOf } from '../src/cli/report-error.ts';
import { readRoots } from '../src/config.ts';
import { asFlowstepError } from '../src/errors.ts';
import type { ExecutionEvent } from '../src/host/executor.ts';
import { runWorkflowFile } from '../src/host/run-file.ts';
import { createLog } from '../src/log.ts';
import { allNodes } from '../src/nodes/all-nodes.ts';

const workflows = fileURLToPath(new URL('../workflows/', import.meta.url));
const roots = readRoots(process.env);
const isTerminal = process.stderr.isTTY === true;
const log = createLog(process.stderr);
const abort = new AbortController();
process.once('SIGINT', () => abort.abort());

/** Runs a workflow of the package; prints the pictures it made and how long it took. */
async function show(name: string, overrides: readonly string[]): Promise<void> {
  const events = new Subject<ExecutionEvent>();
  const shown = showProgress(events, log, isTerminal);
  const start = performance.now();
  const nodes = await runWorkflowFile(join(workflows, name), {
    registry: allNodes(),
    roots,
    overrides,
    signal: abort.signal,
    onEvent: (event) => events.next(event),
  }).finally(() => shown.unsubscribe());
  const seconds = (performance.now() - start) / 1000;
  const pictures = nodes.flatMap((node) => node.files).filter((file) => file.endsWith('.png'));
  console.log(`${name}: ${seconds.toFixed(1)} s`);
  for (const node of nodes.filter((n) => n.seconds >= 0.1)) {
    console.log(`  ${(node.title ?? node.type).padEnd(24)} ${node.seconds.toFixed(2)} s`);
  }
  const few = pictures.length > 3 ? [...pictures.slice(0, 3), '...'] : pictures;
  for (const picture of few)
    console.log(`  ${picture === '...' ? picture : resolve(roots.output, picture)}`);
}

try {
  await show('fgm-2d.json', []);
  const student = join(roots.models, 'fashion/student.safetensors');
  if (existsSync(student)) await show('fashion-one-step.json', []);
  else console.log(`fashion-one-step.json: skipped, there is no ${student}`);
} catch (thrown) {
  const error = asFlowstepError(thrown);
  log.line(errorText(error));
  process.exitCode = exitCodeOf(error.code);
}
