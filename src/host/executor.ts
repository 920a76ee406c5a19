/** @file Runs a valid workflow: each node that an output needs, once, in order. */
import { asFlowstepError, bug, FlowstepError } from '../errors.ts';
import type { FlowNode, NodeResult } from '../nodes/define-node.ts';
import { type NodeContext, type Roots, throwIfAborted } from '../nodes/node-context.ts';
import type { NodeRegistry } from '../nodes/registry.ts';
import type { TrainEvent } from '../trainer/run/events.ts';
import { runOrder } from './graph-order.ts';
import { type Link, nodeName, type Workflow, type WorkflowNode } from './workflow.ts';

export type ExecutionEvent =
  | {
      readonly kind: 'started';
      readonly node: WorkflowNode;
      readonly index: number;
      readonly count: number;
    }
  | { readonly kind: 'progress'; readonly node: WorkflowNode; readonly progress: TrainEvent }
  | {
      readonly kind: 'finished';
      readonly node: WorkflowNode;
      readonly seconds: number;
      /** Relative to the output folder. */
      readonly files: readonly string[];
    };

export interface ExecutionOptions {
  readonly registry: NodeRegistry;
  readonly roots: Roots;
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: ExecutionEvent) => void;
}

export interface NodeRun {
  readonly node: string;
  readonly type: string;
  readonly title: string | undefined;
  readonly seconds: number;
  readonly files: readonly string[];
}

/** Runs the workflow, which must have passed validation; returns what each node did, in order. */
export async function executeWorkflow(
  workflow: Workflow,
  options: ExecutionOptions,
): Promise<NodeRun[]> {
  const signal = options.signal ?? new AbortController().signal;
  const tell = options.onEvent ?? (() => undefined);
  const results = new Map<string, FinishedNode>();
  const runs: NodeRun[] = [];
  const order = runOrder(workflow, options.registry).nodes;
  for (const [index, node] of order.entries()) {
    throwIfAborted(signal);
    tell({ kind: 'started', node, index, count: order.length });
    const start = performance.now();
    const finished = await executeNode(node, options.registry, results, {
      roots: options.roots,
      signal,
      onProgress: (progress) => tell({ kind: 'progress', node, progress }),
    });
    const seconds = (performance.now() - start) / 1000;
    const files = finished.result.files ?? [];
    results.set(node.id, finished);
    runs.push({ node: node.id, type: node.type, title: node.title, seconds, files });
    tell({ kind: 'finished', node, seconds, files });
  }
  return runs;
}

interface FinishedNode {
  readonly node: WorkflowNode;
  readonly kind: FlowNode;
  readonly result: NodeResult;
}

async function executeNode(
  node: WorkflowNode,
  registry: NodeRegistry,
  results: ReadonlyMap<string, FinishedNode>,
  context: NodeContext,
): Promise<FinishedNode> {
  const kind = registry.find(node.type);
  if (!kind) throw bug(`node ${nodeName(node)} was not validated`);
  try {
    const values = Object.entries(node.inputs).map(([name, input]) => [
      name,
      input.kind === 'constant' ? input.value : linkedValue(input.link, results),
    ]);
    return { node, kind, result: await kind.run(Object.fromEntries(values), context) };
  } catch (error) {
    throw atNode(node, error, context.signal);
  }
}

function linkedValue(link: Link, results: ReadonlyMap<string, FinishedNode>): unknown {
  const source = results.get(link.node);
  const output = source?.kind.definition.outputs[link.slot];
  if (!source || !output) throw bug(`node ${link.node} has no result at slot ${link.slot}`);
  const value = source.result.outputs[output.name];
  if (value !== undefined) return value;
  const why = source.result.blocked?.[output.name] ?? 'it gave none';
  throw new FlowstepError(
    'WORKFLOW_INVALID',
    `there is no ${output.name} from node ${nodeName(source.node)}: ${why}`,
  );
}

/** The error with the node it came from. A cancelled run may fail in any way, and that is no failure. */
function atNode(node: WorkflowNode, thrown: unknown, signal: AbortSignal): FlowstepError {
  const error = asFlowstepError(thrown);
  const code = signal.aborted ? 'INTERRUPTED' : error.code;
  return new FlowstepError(code, `node ${nodeName(node)}: ${error.message}`, {
    ...error.details,
    node: node.id,
    cause: error,
  });
}
