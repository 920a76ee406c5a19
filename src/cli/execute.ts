/** @file Runs nodes for a command: shows how it goes on stderr, prints on stdout what was written. */
import { resolve } from 'node:path';
import { Subject } from 'rxjs';
import { contentOf } from '../host/content.ts';
import type { ExecutionEvent, ExecutionOptions, NodeRun } from '../host/executor.ts';
import { allNodes } from '../nodes/all-nodes.ts';
import { distillNode } from '../nodes/distill.ts';
import type { Roots } from '../nodes/node-context.ts';
import { trainTeacherNode } from '../nodes/train-teacher.ts';
import { answer } from './answer.ts';
import type { Io } from './io.ts';
import { showProgress } from './progress.ts';

interface Execution {
  readonly roots: Roots;
  readonly json: boolean | undefined;
  /** Files that the command itself wrote, absolute; they are named first. */
  readonly written?: readonly string[];
  run(options: ExecutionOptions): Promise<readonly NodeRun[]>;
}

/** Nodes that are asked to stop end their step first, and write a checkpoint. */
const TRAINING = [trainTeacherNode, distillNode].map(({ definition }) => definition.id);

const STOPS_TRAINING =
  'What trains ends its step first and writes a checkpoint; ended now, it loses what came after the last one.';

/** Prints the paths of all files written, one a line; or as JSON what each node did and gave. */
export async function executeForPeople(io: Io, execution: Execution): Promise<void> {
  const { roots, json, written = [] } = execution;
  await answer(
    io,
    json,
    async () => {
      const start = performance.now();
      const nodes = await withProgress(io, roots, execution.run);
      const seconds = (performance.now() - start) / 1000;
      const made = nodes.flatMap((node) => node.files).map((path) => resolve(roots.output, path));
      return { seconds, files: [...written, ...made], nodes: nodes.map(nodeJson) };
    },
    ({ files }) => files,
  );
}

/** Handles as they are; tensors as { dtype, shape, sha256 }, which tells whether two runs gave the same. */
function nodeJson(run: NodeRun): object {
  return { ...run, outputs: contentOf(run.outputs) };
}

async function withProgress(
  io: Io,
  roots: Roots,
  run: Execution['run'],
): Promise<readonly NodeRun[]> {
  const events = new Subject<ExecutionEvent>();
  const shown = showProgress(events, io.log, io.isTerminal);
  let isTraining = false;
  shown.add(
    events.subscribe(({ kind, node }) => {
      if (kind === 'started') isTraining = TRAINING.includes(node.type);
    }),
  );
  const tellStop = () => isTraining && io.log.line(STOPS_TRAINING);
  io.signal.addEventListener('abort', tellStop, { once: true });
  try {
    return await run({
      registry: allNodes(),
      roots,
      signal: io.signal,
      onEvent: (event) => events.next(event),
    });
  } finally {
    io.signal.removeEventListener('abort', tellStop);
    shown.unsubscribe();
    io.log.status('');
  }
}
