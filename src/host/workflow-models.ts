/** @file The model files that a workflow names, and whether they are there. */
import { FlowstepError } from '../errors.ts';
import { loadModelNode } from '../nodes/load-model.ts';
import type { RootName, Roots } from '../nodes/node-context.ts';
import { resolveInside } from '../nodes/root-files.ts';
import { modelSha256 } from '../trainer/files/onnx-beside.ts';
import type { Workflow, WorkflowNode } from './workflow.ts';

export interface NamedModel {
  /** Id of the node. */
  readonly node: string;
  /** As the workflow names it. */
  readonly file: string;
  /** Absolute; undefined when it is not there. */
  readonly path: string | undefined;
  readonly sha256: string | undefined;
  /** What is wrong with it, if anything. */
  readonly problem: string | undefined;
}

/** Where Load Flow Model looks, in its order. */
const ROOTS = ['models', 'output'] as const satisfies readonly RootName[];

/** The models of all Load Flow Model nodes whose file is written in them. */
export async function workflowModels(workflow: Workflow, roots: Roots): Promise<NamedModel[]> {
  const found: NamedModel[] = [];
  for (const node of workflow.values()) {
    const file = node.type === loadModelNode.definition.id && constant(node, 'file');
    if (file) found.push(await lookUp(node, file, roots));
  }
  return found;
}

async function lookUp(node: WorkflowNode, file: string, roots: Roots): Promise<NamedModel> {
  const path = await findFile(file, roots);
  const sha256 = path === undefined ? undefined : await modelSha256(path);
  const wanted = constant(node, 'sha256');
  return { node: node.id, file, path, sha256, problem: problemOf(file, sha256, wanted) };
}

function problemOf(file: string, found: string | undefined, wanted: string): string | undefined {
  if (found === undefined) return `there is no model file ${file}`;
  if (wanted === '' || wanted.toLowerCase() === found) return undefined;
  return `${file} is another file than the workflow means: its sha256 is ${found}, not ${wanted}`;
}

async function findFile(file: string, roots: Roots): Promise<string | undefined> {
  for (const root of ROOTS) {
    try {
      return await resolveInside(roots, root, file);
    } catch (error) {
      if (!(error instanceof FlowstepError)) throw error;
    }
  }
  return undefined;
}

function constant(node: WorkflowNode, name: string): string {
  const input = node.inputs[name];
  return input?.kind === 'constant' && typeof input.value === 'string' ? input.value : '';
}
