/** @file Flow Prompt Set: the prompts of a distillation as embeddings, kept in a file that runs without ComfyUI read too. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { FlowstepError } from '../errors.ts';
import { openPrompts, writePrompts } from '../trainer/data/prompts.ts';
import { sha256 } from '../trainer/files/hash.ts';
import type { TextRows } from '../trainer/run/conditions.ts';
import type { Tensor } from '../trainer/tensor.ts';
import { joined, textOf, textsOf } from './conditioning.ts';
import { defineNode } from './define-node.ts';
import { ConditioningSchema, FlowPromptsSchema } from './handles.ts';
import type { NodeContext } from './node-context.ts';
import { type FileRef, nameFile, openFile } from './root-files.ts';

/** Where embeddings from a graph are kept, relative to the output folder, named by their content. */
const FOLDER = 'prompts';

/** Characters of the content's hash in a file's name. */
const NAME_HASH = 16;

export const promptSetNode = defineNode({
  id: 'FlowstepPromptSet',
  displayName: 'Flow Prompt Set',
  category: 'flowstep/training',
  description:
    'Collects prompts for a distillation: from text encoders, from a file of embeddings, or both.',
  searchAliases: ['captions', 'text prompts', 'conditioning list'],
  inputs: z.object({
    file: z.string().default('').meta({
      tooltip:
        'File of embeddings below the data or output folder (tensors context [N, L, W] and pooled [N, P]); empty = none.',
    }),
    conditioning: ConditioningSchema.optional().meta({
      tooltip: 'Prompts from a text encoder; Conditioning (Combine) joins any number of them.',
    }),
    negative: ConditioningSchema.optional().meta({
      tooltip: 'What stands for "no prompt" in guidance; left out = zeros.',
    }),
    prompts: FlowPromptsSchema.optional().meta({
      tooltip: 'Prompts from another Flow Prompt Set, to add these to.',
    }),
  }),
  outputs: {
    prompts: FlowPromptsSchema.meta({
      tooltip: 'For FGM Distill, Train Flow Teacher and the samplers.',
    }),
  },
  fingerprint: async ({ file }, { roots }) =>
    file === '' ? undefined : (await nameEmbeddings(file, roots)).sha256,
  async execute({ file, conditioning, negative, prompts }, context) {
    const fromFile = file === '' ? undefined : await nameEmbeddings(file, context.roots);
    const files = [prompts, fromFile].filter((ref) => ref !== undefined);
    const [only] = files;
    // A file alone is used where it lies.
    if (only && files.length === 1 && !conditioning && !negative) {
      await openPrompts(only.path, await openFile(context.roots, only));
      return { outputs: { prompts: { ...only, type: 'FLOW_PROMPTS' as const } } };
    }
    const texts: TextRows[] = [];
    let empty: TextRows | undefined;
    for (const ref of files) {
      const set = await openPrompts(ref.path, await openFile(context.roots, ref));
      texts.push(await set.rows(Int32Array.from({ length: set.count }, (_, i) => i)));
      empty ??= set.empty;
    }
    if (conditioning) texts.push(...textsOf(conditioning, 'conditioning'));
    if (texts.length === 0) {
      throw new FlowstepError('WORKFLOW_INVALID', 'there are no prompts', {
        field: 'conditioning',
        hint: 'Connect the output of a text encoder, or name a file of embeddings.',
      });
    }
    if (negative) empty = textOf(negative, 'negative');
    const all = joined(texts, 'conditioning');
    if (empty) joined([all, empty], 'negative');
    const ref = await store(all, empty, context);
    return { outputs: { prompts: { type: 'FLOW_PROMPTS' as const, ...ref } } };
  },
});

async function nameEmbeddings(path: string, roots: NodeContext['roots']): Promise<FileRef> {
  try {
    return await nameFile(roots, 'data', path);
  } catch (error) {
    if (!(error instanceof FlowstepError) || error.code !== 'FILE_NOT_FOUND') throw error;
    return nameFile(roots, 'output', path);
  }
}

async function store(
  texts: TextRows,
  empty: TextRows | undefined,
  { roots }: NodeContext,
): Promise<FileRef> {
  const parts = [texts, empty].flatMap((rows) => (rows ? [rows.context, rows.pooled] : []));
  const name = `${sha256(...parts.flatMap(contentOf)).slice(0, NAME_HASH)}.safetensors`;
  const folder = join(roots.output, FOLDER);
  await mkdir(folder, { recursive: true });
  await writePrompts(join(folder, name), texts, empty);
  return nameFile(roots, 'output', `${FOLDER}/${name}`);
}

function contentOf({ shape, data }: Tensor<'float32'>): (Uint8Array | string)[] {
  return [shape.join(), new Uint8Array(data.buffer, data.byteOffset, data.byteLength)];
}
