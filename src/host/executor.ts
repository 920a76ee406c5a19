/**
 * @file Runs a valid workflow: each node that an output needs, once, in order. A node that is linked to an output which another
 * did not give is left out, as are those after it, and the rest is run, as in ComfyUI.
 */
import { asFlowstepError, bug, FlowstepError } from '../errors.ts';
import type { FlowNode, NodeResult } from '../nodes/define-node.ts';
import { type NodeContext, type Roots, throwIfAborted } from '../nodes/node-context.ts';
import type { NodeRegistry } from '../nodes/registry.ts';
import type { StepEvent } from '../trainer/run/events.ts';
import { runOrder } from './graph-order.ts';
import { type ResultCache, resultKey } from './result-cache.ts';
import { apiForm, type Link, nodeName, type Workflow, type WorkflowNode } from './workflow.ts';

export type ExecutionEvent =
  | {
      readonly kind: 'started';
      readonly node: WorkflowNode;
      readonly index: number;
      readonly count: number;
    }
  /** Something that the user should know and that stops nothing. */
  | { readonly kind: 'notice'; readonly node: WorkflowNode; readonly message: string }
  | { readonly kind: 'progress'; readonly node: WorkflowNode; readonly progress: StepEvent }
  | {
      readonly kind: 'finished';
      readonly node: WorkflowNode;
      readonly seconds: number;
      /** Relative to the output folder. */
      readonly files: readonly string[];
    }
  /** In place of the other events: the node did not run, its result was known. */
  | { readonly kind: 'cached'; readonly node: WorkflowNode; readonly files: readonly string[] };

export interface ExecutionOptions {
  readonly registry: NodeRegistry;
  readonly roots: Roots;
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: ExecutionEvent) => void;
  /** Results of earlier runs, taken where nothing has changed; those of this run are added. */
  readonly cache?: ResultCache;
  /** The front end's form of the workflow as it was saved; pictures carry it. */
  readonly uiForm?: unknown;
}

/** What a node did and gave. */
export interface NodeRun {
  readonly node: string;
  readonly type: string;
  readonly title: string | undefined;
  /** True when the result was known and nothing ran. */
  readonly cached: boolean;
  readonly seconds: number;
  /** Relative to the output folder; for a cached result those that were written then. */
  readonly files: readonly string[];
  /** By name: handles and tensors. */
  readonly outputs: Readonly<Record<string, unknown>>;
  /** By name, why an output that is not there is not there. */
  readonly blocked: Readonly<Record<string, string | undefined>>;
}

/**
 * Runs the workflow, which must have passed validation; returns what each node did and gave, in order. Throws WORKFLOW_INVALID at
 * the end when output nodes were left out.
 */
export async function executeWorkflow(
  workflow: Workflow,
  options: ExecutionOptions,
): Promise<NodeRun[]> {
  const { registry, roots, cache, uiForm } = options;
  const signal = options.signal ?? new AbortController().signal;
  const tell = options.onEvent ?? (() => undefined);
  const running = {
    prompt: apiForm(workflow),
    ...(uiForm !== undefined && { workflow: uiForm }),
  };
  const results = new Map<string, FinishedNode>();
  const runs: NodeRun[] = [];
  const leftOut: LeftOut[] = [];
  const order = runOrder(workflow, registry).nodes;
  for (const [index, node] of order.entries()) {
    throwIfAborted(signal);
    const kind = kindOf(node, registry);
    const why = missingInput(node, results);
    if (why !== undefined) {
      results.set(node.id, { node, kind, why });
      if (!kind.definition.outputNode) continue;
      leftOut.push({ node, why });
      tell({ kind: 'notice', node, message: `left out: ${why}` });
      continue;
    }
    const start = performance.now();
    const finished = await executeNode(node, kind, results, {
      cache,
      onStart: () => tell({ kind: 'started', node, index, count: order.length }),
      context: {
        roots,
        signal,
        workflow: running,
        onProgress: (progress) => tell({ kind: 'progress', node, progress }),
        onNotice: (message) => tell({ kind: 'notice', node, message }),
      },
    });
    const seconds = (performance.now() - start) / 1000;
    const { cached, result } = finished;
    const { files = [], outputs, blocked = {} } = result;
    results.set(node.id, { node, kind, result });
    const { id, type, title } = node;
    runs.push({ node: id, type, title, cached, seconds, files, outputs, blocked });
    tell(cached ? { kind: 'cached', node, files } : { kind: 'finished', node, seconds, files });
  }
  if (leftOut.length > 0) throw incomplete(leftOut);
  return runs;
}

/** A node with what it gave, or why it was left out. */
type FinishedNode = { readonly node: WorkflowNode; readonly kind: FlowNode } & (
  | { readonly result: NodeResult }
  | { readonly why: string }
);

interface LeftOut {
  readonly node: WorkflowNode;
  readonly why: string;
}

function incomplete(leftOut: readonly LeftOut[]): FlowstepError {
  const [first] = leftOut as [LeftOut];
  if (leftOut.length === 1)
    return atNode(first.node, new FlowstepError('WORKFLOW_INVALID', first.why));
  const issues = leftOut.map(({ node, why }) => ({ node: nodeName(node), message: why }));
  return new FlowstepError('WORKFLOW_INVALID', `${leftOut.length} nodes were left out`, { issues });
}

interface NodeExecution {
  readonly cache: ResultCache | undefined;
  readonly context: NodeContext;
  /** Called unless the result is known. */
  onStart(): void;
}

function kindOf(node: WorkflowNode, registry: NodeRegistry): FlowNode {
  const kind = registry.find(node.type);
  if (!kind) throw bug(`node ${nodeName(node)} was not validated`);
  return kind;
}

async function executeNode(
  node: WorkflowNode,
  kind: FlowNode,
  results: ReadonlyMap<string, FinishedNode>,
  { cache, context, onStart }: NodeExecution,
): Promise<{ readonly result: NodeResult; readonly cached: boolean }> {
  try {
    const values = valuesOf(node, results);
    const key = cache && (await resultKey(kind, values, context));
    const known = key && (await cache.find(key, context.roots));
    if (known) return { result: known, cached: true };
    onStart();
    const result = await kind.run(values, context);
    if (key) await cache.store(key, result, context.roots);
    return { result, cached: false };
  } catch (error) {
    throw atNode(node, error, context.signal);
  }
}

function valuesOf(
  node: WorkflowNode,
  results: ReadonlyMap<string, FinishedNode>,
): Record<string, unknown> {
  const values = Object.entries(node.inputs).map(([name, input]) => [
    name,
    input.kind === 'constant' ? input.value : linkedOutput(input.link, results).value,
  ]);
  return Object.fromEntries(values);
}

/** Why a node cannot run: something that it is linked to is not there. */
function missingInput(
  node: WorkflowNode,
  results: ReadonlyMap<string, FinishedNode>,
): string | undefined {
  const links = Object.values(node.inputs).flatMap((input) =>
    input.kind === 'link' ? [linkedOutput(input.link, results)] : [],
  );
  return links.find(({ value }) => value === undefined)?.why;
}

function linkedOutput(
  link: Link,
  results: ReadonlyMap<string, FinishedNode>,
): { readonly value?: unknown; readonly why?: string } {
  const source = results.get(link.node);
  const output = source?.kind.definition.outputs[link.slot];
  if (!source || !output) throw bug(`node ${link.node} has no result at slot ${link.slot}`);
  if ('why' in source) return { why: source.why };
  const value = source.result.outputs[output.name];
  if (value !== undefined) return { value };
  const why = source.result.blocked?.[output.name] ?? 'it gave none';
  return { why: `there is no ${output.name} from node ${nodeName(source.node)}: ${why}` };
}

/** The error with the node it came from. A cancelled run may fail in any way, and that is no failure. */
function atNode(node: WorkflowNode, thrown: unknown, signal?: AbortSignal): FlowstepError {
  const error = asFlowstepError(thrown);
  const code = signal?.aborted ? 'INTERRUPTED' : error.code;
  return new FlowstepError(code, `node ${nodeName(node)}: ${error.message}`, {
    ...error.details,
    node: node.id,
    cause: error,
  });
}
