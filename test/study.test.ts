/** The study: its document says what its runs have measured, and two of its rows, made small, come out the same again. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { filledStudy } from '../scripts/study-doc.ts';
import { callCli } from './cli/support.ts';
import { tempFolder } from './support/temp-folder.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const ENERGY = 'student/energy-distance';

const TableSchema = z.object({
  summary: z.array(
    z.object({
      settings: z.record(z.string(), z.unknown()),
      runs: z.int(),
      finished: z.int(),
      statistics: z.record(
        z.string(),
        z.object({ mean: z.number(), interval: z.tuple([z.number(), z.number()]).optional() }),
      ),
    }),
  ),
});

type Table = z.infer<typeof TableSchema>;

describe('docs/study.md', () => {
  test('has the tables that the runs in docs/study make', async () => {
    const document = await readFile(join(ROOT, 'docs/study.md'), 'utf8');
    expect(await filledStudy(document)).toBe(document);
  });

  test('has tables of sweeps that are there, with all their runs', async () => {
    const document = await readFile(join(ROOT, 'docs/study.md'), 'utf8');
    const sweeps = (await readdir(join(ROOT, 'sweeps/study'))).map((f) => f.replace('.json', ''));
    const tables = [...document.matchAll(/<!-- table ([\w-]+) -->/g)].map(([, name]) => name);
    expect(tables.length).toBeGreaterThan(3);
    for (const name of tables) {
      expect(sweeps).toContain(name);
      const rows = await readFile(join(ROOT, `docs/study/${name}.csv`), 'utf8');
      expect(rows, name).not.toContain(',missing,');
    }
  });
});

test('two rows at small size agree with what is kept of them', async () => {
  const out = await tempFolder();
  const file = join(ROOT, 'sweeps/study-small.json');
  const { code, stderr } = await callCli(['sweep', file, '--out', out]);
  expect(code, stderr).toBe(0);
  const again = await readTable(join(out, 'sweeps/study-small/table.json'));
  const kept = await readTable(join(ROOT, 'docs/study/small.json'));
  expect(again.summary.map(({ settings }) => settings)).toEqual(
    kept.summary.map(({ settings }) => settings),
  );
  for (const [i, row] of again.summary.entries()) {
    expect(row.finished).toBe(5);
    const [low, high] = intervalOf(kept, i);
    const { mean } = row.statistics[ENERGY]!;
    expect(mean).toBeGreaterThan(low);
    expect(mean).toBeLessThan(high);
  }
  // Or the intervals would be too wide to tell anything.
  expect(intervalOf(kept, 0)[1]).toBeLessThan(intervalOf(kept, 1)[0]);
}, 240_000);

async function readTable(file: string): Promise<Table> {
  return TableSchema.parse(JSON.parse(await readFile(file, 'utf8')));
}

function intervalOf({ summary }: Table, row: number): readonly [number, number] {
  return summary[row]!.statistics[ENERGY]!.interval!;
}
