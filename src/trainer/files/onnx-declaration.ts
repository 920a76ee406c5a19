/** @file What an .onnx file cannot say of the network in it: how it is told the time, what it predicts, which input is which. */
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { FlowstepError } from '../../errors.ts';
import type { ModelMessage } from '../graph/onnx-tensors.ts';
import { ConventionFields, InputNamesSchema } from '../nn/onnx-config.ts';
import { readError } from './read-error.ts';

/** NAME.onnx.json beside NAME.onnx, or the file's own metadata under `DECLARATION_KEY`. */
export const OnnxDeclarationSchema = z.strictObject({
  /** An exported sampler says so, and is not taken for a network. */
  graph: z.enum(['velocity', 'sampler']).default('velocity'),
  inputs: InputNamesSchema,
  /** Default: the first. */
  output: z.string().min(1).optional(),
  ...ConventionFields,
  /** Shape of a sample, where the file leaves it open. */
  shape: z.array(z.int().min(1)).min(1).max(4).optional(),
  /** Number of classes; the label of that number means no class. */
  classes: z.int().min(1).max(100_000).optional(),
  /** Weights that are never trained, such as tables of frequencies; a * stands for any characters. */
  frozen: z.array(z.string().min(1)).default([]),
  /** Name of the data that the network was trained on. */
  dataset: z.string().min(1).optional(),
});

export type OnnxDeclaration = z.infer<typeof OnnxDeclarationSchema>;

/** Metadata key of an .onnx file that declares itself. */
export const DECLARATION_KEY = 'flowstep.onnx';

/** Whether a file is taken for ONNX by its name. */
export const isOnnxPath = (path: string): boolean => /\.onnx$/i.test(path);

/** Where the declaration of a file lies. */
export const declarationPath = (file: string): string => `${file}.json`;

const EXAMPLE =
  'Such as {"inputs": {"x": "sample", "time": "timestep"}, "predicts": "noise", "time": "ddpm"}; docs/onnx.md has all fields.';

/** The text of the declaration beside a file; undefined when there is none. Throws FILE_UNREADABLE. */
export async function declarationBeside(file: string): Promise<string | undefined> {
  const path = declarationPath(file);
  try {
    return await readFile(path, 'utf8');
  } catch (thrown) {
    const error = readError(path, thrown);
    if (error.code === 'FILE_NOT_FOUND') return undefined;
    throw error;
  }
}

/** What is declared of a file, beside it or in it; undefined when nothing is. Throws MODEL_INVALID. */
export async function findDeclaration(
  file: string,
  model: ModelMessage,
): Promise<OnnxDeclaration | undefined> {
  const beside = await declarationBeside(file);
  const inside = model.metadataProps.find(({ key }) => key === DECLARATION_KEY)?.value;
  const text = beside ?? inside;
  if (text === undefined) return undefined;
  const place = beside === undefined ? file : declarationPath(file);
  const parsed = OnnxDeclarationSchema.safeParse(parseJson(place, text));
  if (parsed.success) return parsed.data;
  const issues = parsed.error.issues.map(({ message, path }) => ({
    message,
    field: path.join('.'),
  }));
  const what = issues.map((i) => (i.field ? `${i.field}: ${i.message}` : i.message)).join('; ');
  throw new FlowstepError('MODEL_INVALID', `${place} does not declare a network: ${what}`, {
    file: place,
    issues,
    hint: EXAMPLE,
  });
}

/** Throws MODEL_INVALID for a file of which nothing is declared. */
export function requireDeclaration(
  file: string,
  declaration: OnnxDeclaration | undefined,
): OnnxDeclaration {
  if (declaration) return declaration;
  throw new FlowstepError(
    'MODEL_INVALID',
    `${file} does not say what its network predicts and how it is told the time`,
    { file, hint: `Write ${declarationPath(file)}. ${EXAMPLE}` },
  );
}

function parseJson(file: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new FlowstepError('MODEL_INVALID', `${file} is not JSON: ${(cause as Error).message}`, {
      file,
      hint: EXAMPLE,
      cause,
    });
  }
}
