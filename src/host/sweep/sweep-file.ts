/** @file What a sweep file says: a workflow, the inputs that vary, and what is measured of each run. */
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { z } from 'zod';
import { FlowstepError } from '../../errors.ts';
import { readError } from '../../trainer/files/read-error.ts';
import { MeasureSchema } from './measure-schema.ts';

/** Rows of one sweep: months of work, or a mistake in a grid. */
const MAX_ROWS = 100_000;

const ValueSchema = z.union([z.string(), z.number(), z.boolean()]);

/** Values by NODE.INPUT; NODE is an id, a title or a type. */
const SettingsSchema = z.record(z.string().min(1), ValueSchema);
export type Settings = z.infer<typeof SettingsSchema>;

const SweepSchema = z.strictObject({
  /** Names the folder of the results. */
  name: z.string().regex(/^(?!\.{1,2}$)[A-Za-z0-9._-]{1,64}$/, {
    error: 'must be a plain name: letters, digits, dot, dash, underscore; at most 64',
  }),
  description: z.string().optional(),
  /** A file, relative to the sweep file, or the workflow itself in API form. */
  workflow: z.union([z.string().min(1), z.record(z.string(), z.unknown())]),
  /** The same in all runs. */
  set: SettingsSchema.default({}),
  /** Every combination of the values. */
  grid: z.record(z.string().min(1), z.array(ValueSchema).min(1)).default({}),
  /** Settings that go together; each with every combination of the grid. */
  list: z.array(SettingsSchema).min(1).default([{}]),
  /** Every configuration runs once a value; all inputs take the same. */
  seeds: z
    .strictObject({
      inputs: z.array(z.string().min(1)).min(1),
      // One that is there twice would make an interval too narrow.
      values: z
        .array(z.int().min(0))
        .min(1)
        .refine((seeds) => new Set(seeds).size === seeds.length, { error: 'must be different' }),
    })
    .optional(),
  measure: z.array(MeasureSchema).min(1),
});
export type Sweep = z.infer<typeof SweepSchema>;

/** Reads a sweep file; one without a name has its file's. Throws FILE_FORMAT with every issue. */
export async function readSweepFile(file: string): Promise<Sweep> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    throw readError(file, error);
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    const message = `${file} is not JSON: ${(cause as Error).message}`;
    throw new FlowstepError('FILE_FORMAT', message, { file, cause });
  }
  return parseSweep(withName(json, basename(file, '.json')), file);
}

function withName(json: unknown, name: string): unknown {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) return json;
  return { name, ...json };
}

/** Checks parsed JSON; `file` is for messages. */
export function parseSweep(json: unknown, file: string): Sweep {
  const parsed = SweepSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  throw new FlowstepError('FILE_FORMAT', `${file} is not a sweep`, {
    file,
    issues: parsed.error.issues.map((issue) => ({
      message: `${issue.path.join('.') || 'the file'}: ${issue.message}`,
    })),
    hint: 'docs/sweeps.md says what a sweep file holds.',
  });
}

/** One way to set the inputs. */
export interface Configuration {
  /** What varies: the grid's inputs, then the list's. */
  readonly settings: Settings;
  /** Undefined when the sweep has no seeds. */
  readonly seed: number | undefined;
}

/** Every configuration with every seed: the grid turns slowest, then the list, then the seeds. Throws VALUE_OUT_OF_RANGE for more than MAX_ROWS. */
export function configurations(sweep: Sweep): Configuration[] {
  const axes = Object.entries(sweep.grid);
  const seeds = sweep.seeds?.values ?? [undefined];
  const count = axes.reduce((n, [, values]) => n * values.length, sweep.list.length * seeds.length);
  if (count > MAX_ROWS) {
    throw new FlowstepError(
      'VALUE_OUT_OF_RANGE',
      `the sweep has ${count} runs, more than ${MAX_ROWS}`,
      { field: 'grid', hint: 'Split it into several sweeps.' },
    );
  }
  const combinations = axes.reduce<Settings[]>(
    (all, [name, values]) =>
      all.flatMap((settings) => values.map((value) => ({ ...settings, [name]: value }))),
    [{}],
  );
  return combinations.flatMap((combined) =>
    sweep.list.flatMap((listed) =>
      seeds.map((seed) => ({ settings: { ...combined, ...listed }, seed })),
    ),
  );
}
