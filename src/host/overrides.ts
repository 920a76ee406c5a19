/** @file `--set NODE.INPUT=VALUE`: changes single inputs of a workflow without editing its file. */
import { type InputDefinition, isWidgetType } from '../bridge/protocol/node-definition.ts';
import { FlowstepError } from '../errors.ts';
import type { NodeRegistry } from '../nodes/registry.ts';
import { didYouMean } from './suggest.ts';
import { nodeName, type Workflow, type WorkflowNode } from './workflow.ts';

/** The workflow with the overrides applied in order; the original is left as it is. */
export function applyOverrides(
  workflow: Workflow,
  overrides: readonly string[],
  registry: NodeRegistry,
): Workflow {
  const nodes = new Map(workflow);
  for (const override of overrides) {
    const said = `--set ${override}`;
    const { target, value } = splitOverride(override, said);
    const { node, input } = findTarget(nodes, target, registry, said);
    const constant = { kind: 'constant' as const, value: readValue(value, input, said) };
    nodes.set(node.id, { ...node, inputs: { ...node.inputs, [input.name]: constant } });
  }
  return nodes;
}

export interface Target {
  readonly node: WorkflowNode;
  readonly input: InputDefinition;
}

/** The input that NODE.INPUT names; `said` is what messages begin with. Throws USAGE with the names that there are. */
export function findTarget(
  workflow: Workflow,
  target: string,
  registry: NodeRegistry,
  said: string,
): Target {
  // Titles may hold dots, names of inputs do not.
  const dot = target.lastIndexOf('.');
  if (dot < 1 || dot === target.length - 1) {
    throw usage(said, `${target} is not NODE.INPUT`, 'For example: student.t_star');
  }
  const node = findNode(workflow, target.slice(0, dot), said);
  return { node, input: findInput(node, target.slice(dot + 1), registry, said) };
}

/** Titles may hold dots and values anything, so the input is what stands between the last dot and the first "=". */
function splitOverride(override: string, said: string): { target: string; value: string } {
  const equals = override.indexOf('=');
  const dot = override.lastIndexOf('.', equals);
  if (dot < 1 || equals <= dot + 1) {
    throw usage(said, 'is not NODE.INPUT=VALUE', 'For example: --set 4.steps=100');
  }
  return { target: override.slice(0, equals), value: override.slice(equals + 1) };
}

/** By id; else by title, else by type when only one node has it. Throws USAGE with the nodes that there are. */
export function findNode(workflow: Workflow, target: string, said: string): WorkflowNode {
  const byId = workflow.get(target);
  if (byId) return byId;
  const all = [...workflow.values()];
  const titled = all.filter((node) => node.title === target);
  const named = titled.length > 0 ? titled : all.filter((node) => node.type === target);
  const [only] = named;
  if (only && named.length === 1) return only;
  if (only) {
    throw usage(
      said,
      `${target} is not one node: ${named.map(nodeName).join(', ')}`,
      'Use the id.',
    );
  }
  const names = all.flatMap((node) => [node.id, node.title ?? node.type, node.type]);
  throw usage(
    said,
    `there is no node ${target}${didYouMean(target, names)}`,
    `The workflow has ${all.map(nodeName).join(', ')}.`,
  );
}

function findInput(
  node: WorkflowNode,
  name: string,
  registry: NodeRegistry,
  said: string,
): InputDefinition {
  const definition = registry.find(node.type)?.definition;
  if (!definition) throw usage(said, `node ${nodeName(node)} is of an unknown type`);
  const names = definition.inputs.map((input) => input.name);
  const input = definition.inputs.find((candidate) => candidate.name === name);
  if (!input) {
    const problem = `node ${nodeName(node)} has no input ${name}${didYouMean(name, names)}`;
    throw usage(said, problem, `It has ${names.join(', ')}.`);
  }
  if (!isWidgetType(input.type)) {
    throw usage(said, `${name} takes a link of type ${input.type}, not a value`);
  }
  return input;
}

/** The text as the input's type; ranges are checked with the rest of the workflow. */
function readValue(text: string, input: InputDefinition, said: string): unknown {
  switch (input.type) {
    case 'INT':
    case 'FLOAT': {
      const number = text.trim() === '' ? Number.NaN : Number(text);
      if (Number.isFinite(number)) return number;
      throw usage(said, `${input.name} needs a number, not ${JSON.stringify(text)}`);
    }
    case 'BOOLEAN':
      if (text === 'true' || text === 'false') return text === 'true';
      throw usage(said, `${input.name} needs true or false, not ${JSON.stringify(text)}`);
    default:
      return text;
  }
}

function usage(said: string, problem: string, hint?: string): FlowstepError {
  return new FlowstepError('USAGE', `${said}: ${problem}`, hint === undefined ? {} : { hint });
}
