/** @file Everything that is wrong with a workflow, found before anything runs. */
import { type InputDefinition, isWidgetType } from '../bridge/protocol/node-definition.ts';
import { FlowstepError, type Issue } from '../errors.ts';
import { checkValue } from '../nodes/check-inputs.ts';
import type { FlowNode } from '../nodes/define-node.ts';
import type { NodeRegistry } from '../nodes/registry.ts';
import { runOrder } from './graph-order.ts';
import { didYouMean } from './suggest.ts';
import { type Link, nodeName, type Workflow, type WorkflowNode } from './workflow.ts';

/**
 * All issues of the workflow. Nodes that no output node needs are only checked for being known,
 * as in ComfyUI: people leave unfinished nodes beside a graph that works.
 */
export function validateWorkflow(workflow: Workflow, registry: NodeRegistry): Issue[] {
  const unknown = [...workflow.values()].filter((node) => !registry.find(node.type));
  const order = runOrder(workflow, registry);
  const issues = [
    ...unknown.map((node) => unknownNode(node, registry)),
    ...order.cycles.map((ids) => cycle(ids, workflow)),
    ...order.nodes.flatMap((node) => {
      const kind = registry.find(node.type);
      return kind ? checkNode(node, kind, workflow, registry) : [];
    }),
  ];
  // An unknown node may be the output node that is missing: one thing at a time.
  if (issues.length === 0 && order.nodes.length === 0) issues.push(nothingToRun(registry));
  return issues;
}

/** Throws WORKFLOW_INVALID with all issues when there are any. */
export function requireValid(workflow: Workflow, registry: NodeRegistry, file: string): void {
  const issues = validateWorkflow(workflow, registry);
  if (issues.length === 0) return;
  throw new FlowstepError('WORKFLOW_INVALID', `${file} cannot run`, {
    file,
    issues,
    hint: '`flowstep nodes` lists the nodes with their inputs.',
  });
}

function unknownNode(node: WorkflowNode, registry: NodeRegistry): Issue {
  const guess = didYouMean(
    node.type,
    registry.list().map((d) => d.id),
  );
  return { node: node.id, message: `there is no node ${node.type}${guess}` };
}

function nothingToRun(registry: NodeRegistry): Issue {
  const outputs = registry.list().filter((d) => d.outputNode);
  const names = outputs.map((d) => d.id).join(', ');
  return { message: `nothing to run: the workflow has none of ${names}` };
}

function cycle(ids: readonly string[], workflow: Workflow): Issue {
  const names = [...ids, ids[0]!].map((id) => nodeName(workflow.get(id)!));
  // Found while walking from outputs to inputs; people read a graph the other way.
  return { node: ids[0]!, message: `links run in a circle: ${names.reverse().join(' -> ')}` };
}

function checkNode(
  node: WorkflowNode,
  kind: FlowNode,
  workflow: Workflow,
  registry: NodeRegistry,
): Issue[] {
  const { inputs } = kind.definition;
  const names = inputs.map((input) => input.name);
  const unknown = Object.keys(node.inputs)
    .filter((name) => !names.includes(name))
    .map((name) => ({ field: name, message: `is no input of the node${didYouMean(name, names)}` }));
  const wrong = inputs.flatMap((input) =>
    checkInput(node, input, kind, workflow, registry).map((message) => ({
      field: input.name,
      message,
    })),
  );
  return [...unknown, ...wrong].map((issue) => ({ node: node.id, ...issue }));
}

function checkInput(
  node: WorkflowNode,
  input: InputDefinition,
  kind: FlowNode,
  workflow: Workflow,
  registry: NodeRegistry,
): string[] {
  const given = node.inputs[input.name];
  if (given === undefined) return input.required ? ['is missing'] : [];
  if (given.kind === 'link') return checkLink(given.link, input, workflow, registry);
  if (!isWidgetType(input.type)) return [`needs a link from an output of type ${input.type}`];
  return checkValue(kind.inputs.shape[input.name]!, given.value);
}

function checkLink(
  link: Link,
  input: InputDefinition,
  workflow: Workflow,
  registry: NodeRegistry,
): string[] {
  const source = workflow.get(link.node);
  if (!source) return [`is linked to node ${link.node}, which is not in the workflow`];
  const outputs = registry.find(source.type)?.definition.outputs;
  // An unknown node is an issue of its own.
  if (!outputs) return [];
  const output = outputs[link.slot];
  if (!output) {
    const count = outputs.length === 1 ? '1 output' : `${outputs.length} outputs`;
    return [`is linked to slot ${link.slot} of node ${nodeName(source)}, which has ${count}`];
  }
  if (output.type === input.type) return [];
  return [`takes ${input.type}, but ${output.name} of node ${nodeName(source)} is ${output.type}`];
}
