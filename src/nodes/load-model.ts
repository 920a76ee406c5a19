/** @file Load Flow Model: a model file as a FLOW_MODEL. */
import { z } from 'zod';
import { FlowstepError } from '../errors.ts';
import { besideHash, modelSha256 } from '../trainer/files/onnx-beside.ts';
import { defineNode } from './define-node.ts';
import { modelKey, openModel } from './flow-models.ts';
import { type FlowModelHandle, FlowModelSchema } from './handles.ts';
import type { NodeContext } from './node-context.ts';
import { type FileRef, foldersOf, nameFile, openFile } from './root-files.ts';

export const loadModelNode = defineNode({
  id: 'FlowstepLoadModel',
  displayName: 'Load Flow Model',
  category: 'flowstep/models',
  description: 'Takes a teacher or student that Flowstep has saved.',
  searchAliases: ['checkpoint loader', 'load checkpoint', 'load lora', 'teacher', 'student'],
  inputs: z.object({
    file: z
      .string()
      .min(1)
      .meta({
        tooltip:
          'Model file: a path below the models folder ("fashion/student.safetensors"), ' +
          'or one below the output folder ("runs/teacher/teacher.safetensors").',
      }),
    sha256: z
      .string()
      .regex(/^([0-9a-f]{64})?$/i, { error: 'must be 64 hexadecimal digits, or empty' })
      .default('')
      .meta({
        advanced: true,
        tooltip:
          'sha256 of the file; another file under this name is refused. Where weights of an .onnx file lie in other files it is of all of them.',
      }),
    made_by: z
      .string()
      .default('')
      .meta({ advanced: true, tooltip: 'Workflow that makes the file, told when it is missing.' }),
    lora: z.string().default('').meta({
      tooltip:
        'LoRA file for the model: a path below the models folder, the output folder or one of the LoRA folders; empty = none.',
    }),
    strength: z.number().min(-10).max(10).default(1).meta({
      tooltip: 'How much of the LoRA is added; 1 = as it was trained.',
      step: 0.05,
    }),
  }),
  outputs: {
    model: FlowModelSchema.meta({ tooltip: 'The model; samplers and trainers take it.' }),
  },
  async fingerprint({ file, ...more }, context) {
    if (file !== undefined) return modelKey(await nameModel({ file, ...more }, context));
    return more.lora === '' ? undefined : (await findLora(more.lora, context)).sha256;
  },
  async execute(inputs, context) {
    const model = await nameModel(inputs, context);
    await requireHash(model, inputs, context);
    // A file that is no model must fail here, at the node that names it, not where it is used.
    await openModel(model, context);
    return { outputs: { model } };
  },
});

/** Both hosts show the same words, and ComfyUI has neither a command line nor this input in sight. */
const TAKE_ANYWAY =
  'If you have chosen another file, empty sha256 (in ComfyUI after "Show Advanced") to take it.';
const IN_COMFYUI =
  'In ComfyUI open that workflow, under Templates if it came with Flowstep, and run it.';

/** What the user says about the file. */
interface WantedModel {
  readonly file: string;
  readonly sha256: string;
  readonly made_by: string;
  readonly lora: string;
  readonly strength: number;
}

async function nameModel(wanted: WantedModel, context: NodeContext): Promise<FlowModelHandle> {
  const found = await findModel(wanted, context);
  const declaration = await besideHash(await openFile(context.roots, found));
  const model = { type: 'FLOW_MODEL' as const, ...found, ...(declaration && { declaration }) };
  if (wanted.lora === '') return model;
  const file = await findLora(wanted.lora, context);
  return { ...model, loras: [{ file, strength: wanted.strength }] };
}

async function findLora(path: string, context: NodeContext): Promise<FileRef> {
  const found = await findFile(path, context);
  if (found) return found;
  throw new FlowstepError('FILE_NOT_FOUND', `there is no LoRA file ${path}`, {
    field: 'lora',
    hint: `It was looked for in ${searched(context)}.`,
  });
}

/** The models folder first: what a run has written there by the same name must not replace it. */
async function findFile(path: string, { roots }: NodeContext): Promise<FileRef | undefined> {
  for (const root of ['models', 'output'] as const) {
    try {
      return await nameFile(roots, root, path);
    } catch (error) {
      if (!(error instanceof FlowstepError) || error.code !== 'FILE_NOT_FOUND') throw error;
    }
  }
  return undefined;
}

const searched = ({ roots }: NodeContext): string =>
  [...foldersOf(roots, 'models'), roots.output].join(' and in ');

async function findModel(wanted: WantedModel, context: NodeContext): Promise<FileRef> {
  const found = await findFile(wanted.file, context);
  if (found) return found;
  const hash = wanted.sha256 && ` (sha256 ${wanted.sha256})`;
  throw new FlowstepError('FILE_NOT_FOUND', `there is no model file ${wanted.file}${hash}`, {
    field: 'file',
    hint: [`It was looked for in ${searched(context)}.`, howToMake(wanted)]
      .filter(Boolean)
      .join(' '),
  });
}

async function requireHash(
  model: FileRef,
  wanted: WantedModel,
  { roots }: NodeContext,
): Promise<void> {
  if (wanted.sha256 === '') return;
  const { root, path } = model;
  const sha256 = await modelSha256(await openFile(roots, model));
  if (wanted.sha256.toLowerCase() === sha256) return;
  throw new FlowstepError(
    'MODEL_INVALID',
    `${path} in the ${root} folder is another file: its sha256 is ${sha256}, not ${wanted.sha256.toLowerCase()}`,
    {
      field: 'sha256',
      hint: [
        sha256 !== model.sha256 &&
          'Its weights lie in other files, so its sha256 is that of all of them.',
        TAKE_ANYWAY,
        'Else put the file there that is meant.',
        howToMake(wanted),
      ]
        .filter(Boolean)
        .join(' '),
    },
  );
}

/** Training gives other bits on other machines, so a file that is made anew has another hash. */
function howToMake({ made_by, sha256 }: WantedModel): string {
  if (made_by === '') return '';
  const anew = sha256 && ' A file made anew has another sha256: empty that input then.';
  return `Run \`flowstep run ${made_by}\` to make it. ${IN_COMFYUI}${anew}`;
}
