/** @file What a workflow holds and whether it can run here; also of workflows inside pictures. */
import { readFile } from 'node:fs/promises';
import sharp from 'sharp';
import { asFlowstepError, type Issue } from '../errors.ts';
import type { Roots } from '../nodes/node-context.ts';
import type { NodeRegistry } from '../nodes/registry.ts';
import { readError } from '../trainer/files/read-error.ts';
import { validateWorkflow } from './validate.ts';
import { parseWorkflow, type Workflow, type WorkflowNode } from './workflow.ts';
import { readWorkflowFile, textsOf } from './workflow-file.ts';
import { type NamedModel, workflowModels } from './workflow-models.ts';

export interface WorkflowContents {
  readonly nodes: readonly {
    readonly id: string;
    readonly type: string;
    readonly title?: string;
    /** Those that are no links. */
    readonly inputs?: Readonly<Record<string, unknown>>;
  }[];
  readonly models: readonly NamedModel[];
  /** Why it cannot run here; empty when it can. */
  readonly issues: readonly Issue[];
}

export interface WorkflowInspection extends WorkflowContents {
  readonly kind: 'workflow';
  readonly file: string;
}

export interface PictureInspection {
  readonly kind: 'picture';
  readonly file: string;
  readonly bytes: number;
  readonly width: number;
  readonly height: number;
  readonly channels: number;
  /** Lengths of the texts that it carries, by keyword. */
  readonly texts: Readonly<Record<string, number>>;
  readonly workflow?: WorkflowContents;
}

/** Texts of a PNG in which ComfyUI and Save Image write it. */
const WORKFLOW_TEXTS = ['prompt', 'workflow'];

export interface Surroundings {
  readonly registry: NodeRegistry;
  readonly roots: Roots;
}

export async function inspectWorkflow(
  file: string,
  around: Surroundings,
): Promise<WorkflowInspection> {
  return { kind: 'workflow', file, ...(await contentsOf(file, around)) };
}

/** A PNG and the workflow in it; throws FILE_FORMAT when it is damaged. */
export async function inspectPicture(
  file: string,
  around: Surroundings,
): Promise<PictureInspection> {
  const bytes = await readFile(file).catch((error: unknown) => {
    throw readError(file, error);
  });
  const texts = textsOf(bytes, file);
  const { width, height, channels } = await sharp(bytes).metadata();
  return {
    kind: 'picture',
    file,
    bytes: bytes.length,
    width,
    height,
    channels,
    texts: Object.fromEntries([...texts].map(([keyword, text]) => [keyword, text.length])),
    ...(WORKFLOW_TEXTS.some((keyword) => texts.has(keyword)) && {
      workflow: await contentsOf(file, around),
    }),
  };
}

/** A workflow that cannot be read has issues like one that cannot run. */
async function contentsOf(
  file: string,
  { registry, roots }: Surroundings,
): Promise<WorkflowContents> {
  let workflow: Workflow;
  try {
    workflow = parseWorkflow((await readWorkflowFile(file)).json, registry, file);
  } catch (thrown) {
    const { message, details } = asFlowstepError(thrown);
    return { nodes: [], models: [], issues: details.issues ?? [{ message }] };
  }
  const models = await workflowModels(workflow, roots);
  return {
    nodes: [...workflow.values()].map(({ id, type, title, inputs }) => ({
      id,
      type,
      ...(title !== undefined && { title }),
      ...constantsOf(inputs),
    })),
    models,
    issues: [
      ...validateWorkflow(workflow, registry),
      ...models.flatMap(({ node, problem }) =>
        problem === undefined ? [] : [{ node, field: 'file', message: problem }],
      ),
    ],
  };
}

function constantsOf(inputs: WorkflowNode['inputs']) {
  const constants = Object.entries(inputs).flatMap(([name, input]) =>
    input.kind === 'constant' ? [[name, input.value]] : [],
  );
  return constants.length === 0 ? {} : { inputs: Object.fromEntries(constants) };
}
