/** @file Where Flowstep reads and writes: from the environment, overridden by the command line. */
import { existsSync } from 'node:fs';
import { delimiter, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { FlowstepError } from './errors.ts';
import type { Roots } from './nodes/node-context.ts';

const FolderSchema = z.string().min(1).optional();

/** Several folders, as in PATH. */
const FoldersSchema = z
  .string()
  .transform((text) => text.split(delimiter).filter(Boolean))
  .refine((folders) => folders.length > 0)
  .optional();

/** The environment variables that Flowstep reads. */
const EnvironmentSchema = z.object({
  FLOWSTEP_MODELS: FoldersSchema,
  FLOWSTEP_OUTPUT: FolderSchema,
  FLOWSTEP_DATA: FolderSchema,
});

export interface ConfigOverrides {
  /** Folder for everything that is written, instead of FLOWSTEP_OUTPUT or ./output. */
  readonly output?: string | undefined;
}

/** The folders to use, as absolute paths. */
export function readRoots(
  environment: Readonly<Record<string, string | undefined>>,
  overrides: ConfigOverrides = {},
): Roots {
  const parsed = EnvironmentSchema.safeParse(environment);
  if (!parsed.success) {
    const names = parsed.error.issues.map((issue) => issue.path.join('.')).join(', ');
    throw new FlowstepError('USAGE', `${names} must not be empty`, {
      hint: 'Set it to a folder, or unset it.',
    });
  }
  const env = parsed.data;
  const [models = defaultModels(), ...more] = env.FLOWSTEP_MODELS ?? [];
  return {
    models: resolve(models),
    ...(more.length > 0 && { moreModels: more.map((folder) => resolve(folder)) }),
    output: resolve(overrides.output ?? env.FLOWSTEP_OUTPUT ?? 'output'),
    data: resolve(env.FLOWSTEP_DATA ?? 'data'),
  };
}

/** ./models, or the models that come with the package. */
function defaultModels(): string {
  return existsSync('models') ? 'models' : fileURLToPath(new URL('../models', import.meta.url));
}
