/** @file Workflows: ComfyUI's two JSON forms become one graph, and the graph the form that is executed. */
import type { NodeRegistry } from '../nodes/registry.ts';
import { type ApiWorkflow, readApiWorkflow } from './api-workflow.ts';
import { registryTypes } from './object-info.ts';
import { isUiWorkflow } from './ui-schema.ts';
import { convertUiWorkflow } from './ui-to-api.ts';
import { readWorkflowFile } from './workflow-file.ts';

export interface Link {
  readonly node: string;
  readonly slot: number;
}

export type InputValue =
  | { readonly kind: 'link'; readonly link: Link }
  | { readonly kind: 'constant'; readonly value: unknown };

export interface WorkflowNode {
  readonly id: string;
  /** Id of the node's definition (ComfyUI: class_type). */
  readonly type: string;
  /** Shown to people; undefined when the file gives none. */
  readonly title: string | undefined;
  readonly inputs: Readonly<Record<string, InputValue>>;
}

/** Nodes by id, in file order. */
export type Workflow = ReadonlyMap<string, WorkflowNode>;

/** Reads a workflow file of either form, or the workflow that a picture carries. */
export async function readWorkflow(file: string, registry: NodeRegistry): Promise<Workflow> {
  return parseWorkflow((await readWorkflowFile(file)).json, registry, file);
}

/** A workflow from parsed JSON of either form; `file` is for messages. */
export function parseWorkflow(json: unknown, registry: NodeRegistry, file: string): Workflow {
  const api = readApiWorkflow(isUiWorkflow(json) ? fromUiForm(json, registry, file) : json, file);
  return new Map(
    Object.entries(api).map(([id, node]) => [
      id,
      { id, type: node.class_type, title: node._meta?.title, inputs: readInputs(node.inputs) },
    ]),
  );
}

/** A node that is not installed keeps its type, so that validation can name it. */
function fromUiForm(json: unknown, registry: NodeRegistry, file: string): unknown {
  const { api, missing } = convertUiWorkflow(json, registryTypes(registry), file);
  return Object.fromEntries(
    Object.entries(api).map(([id, node]) => [id, { class_type: missing.get(id), ...node }]),
  );
}

/** The workflow in the form that ComfyUI executes. */
export function apiForm(workflow: Workflow): ApiWorkflow {
  return Object.fromEntries(
    [...workflow.values()].map(({ id, type, title, inputs }) => [
      id,
      {
        inputs: Object.fromEntries(
          Object.entries(inputs).map(([name, input]) => [
            name,
            input.kind === 'link' ? [input.link.node, input.link.slot] : input.value,
          ]),
        ),
        class_type: type,
        ...(title !== undefined && { _meta: { title } }),
      },
    ]),
  );
}

/** How messages name a node. */
export function nodeName(node: WorkflowNode): string {
  return `${node.id} (${node.title ?? node.type})`;
}

function readInputs(inputs: Record<string, unknown>): Record<string, InputValue> {
  return Object.fromEntries(
    Object.entries(inputs).map(([name, value]) => {
      const link = readLink(value);
      return [name, link ? { kind: 'link', link } : { kind: 'constant', value }];
    }),
  );
}

/** A link is ["node id", output slot]; numeric ids are accepted from hand-written files. */
function readLink(value: unknown): Link | undefined {
  if (!Array.isArray(value) || value.length !== 2) return undefined;
  const [node, slot] = value as unknown[];
  const isId = typeof node === 'string' || typeof node === 'number';
  return isId && typeof slot === 'number' ? { node: String(node), slot } : undefined;
}
