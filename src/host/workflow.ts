/** @file Workflow files: reads ComfyUI's two JSON forms into one graph. */
import { readFile } from 'node:fs/promises';
import { FlowstepError } from '../errors.ts';
import type { NodeRegistry } from '../nodes/registry.ts';
import { ApiWorkflowSchema } from './api-workflow.ts';
import { isUiWorkflow } from './ui-schema.ts';
import { convertUiWorkflow } from './ui-to-api.ts';

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

/** Reads a workflow file of either form. */
export async function readWorkflow(file: string, registry: NodeRegistry): Promise<Workflow> {
  return parseWorkflow(parseJson(await readText(file), file), registry, file);
}

/** A workflow from parsed JSON of either form; `file` is for messages. */
export function parseWorkflow(json: unknown, registry: NodeRegistry, file: string): Workflow {
  const api = isUiWorkflow(json) ? convertUiWorkflow(json, registry, file) : json;
  const parsed = ApiWorkflowSchema.safeParse(api);
  if (!parsed.success) {
    throw new FlowstepError('WORKFLOW_INVALID', `${file} is not a workflow`, {
      file,
      issues: parsed.error.issues.map((issue) => ({
        message: `${issue.path.join('.') || 'the file'}: ${issue.message}`,
      })),
      hint: 'Save it from ComfyUI with Export or Export (API).',
    });
  }
  return new Map(
    Object.entries(parsed.data).map(([id, node]) => [
      id,
      { id, type: node.class_type, title: node._meta?.title, inputs: readInputs(node.inputs) },
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

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    const isMissing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    throw isMissing
      ? new FlowstepError('FILE_NOT_FOUND', `there is no file ${file}`, { file, cause })
      : new FlowstepError('FILE_UNREADABLE', `${file} cannot be read`, { file, cause });
  }
}

function parseJson(text: string, file: string): unknown {
  try {
    // ComfyUI is written in Python, which writes NaN where JSON has no number; such files are rare and refused.
    return JSON.parse(text);
  } catch (cause) {
    throw new FlowstepError('FILE_FORMAT', `${file} is not JSON: ${(cause as Error).message}`, {
      file,
      hint: 'A workflow is the JSON file that ComfyUI saves.',
      cause,
    });
  }
}
