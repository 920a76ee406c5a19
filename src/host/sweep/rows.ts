/** @file Finished rows of a sweep, one file each: what is there is not done again. */
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { atomicWrite } from '../../trainer/files/atomic-write.ts';
import { FigureSchema } from './measure-schema.ts';

export const RowSchema = z.strictObject({
  format: z.literal(1),
  /** Hash of all that decides the numbers. */
  key: z.string().regex(/^[0-9a-f]{64}$/),
  /** What was set, for people. */
  settings: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
  /** A run that diverges would do so again: that is its result. */
  outcome: z.enum(['finished', 'diverged']),
  problem: z.strictObject({ code: z.string(), message: z.string() }).optional(),
  /** By column. */
  figures: z.record(z.string(), FigureSchema),
  /** By whom; the last bits may depend on it. */
  made: z.strictObject({
    at: z.string(),
    seconds: z.number(),
    device: z.string(),
    threads: z.int(),
    processor: z.string(),
    versions: z.record(z.string(), z.string()),
  }),
});
export type Row = z.infer<typeof RowSchema>;

const FOLDER = 'rows';

/** The row of that key below the sweep's folder; undefined when it is missing or damaged. */
export async function findRow(folder: string, key: string): Promise<Row | undefined> {
  try {
    const row = RowSchema.parse(JSON.parse(await readFile(fileOf(folder, key), 'utf8')));
    return row.key === key ? row : undefined;
  } catch {
    return undefined;
  }
}

/** Writes the row whole or not at all. Throws FILE_UNWRITABLE. */
export async function writeRow(folder: string, row: Row): Promise<void> {
  await mkdir(join(folder, FOLDER), { recursive: true }).catch(() => undefined);
  const text = `${JSON.stringify(row, null, 2)}\n`;
  await atomicWrite(fileOf(folder, row.key), [new TextEncoder().encode(text)]);
}

function fileOf(folder: string, key: string): string {
  return join(folder, FOLDER, `${key}.json`);
}
