/**
 * @file `npm run docs:study [-- OUTPUT]`: fills the tables of docs/study.md from the runs in docs/study/NAME.csv; with the output
 * folder of finished sweeps, takes their rows.csv first.
 */
import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { studyTable } from './study-table.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
/** `<!-- table NAME -->` and what follows up to `<!-- end -->`. */
const SECTION = /<!-- table ([\w-]+) -->\n.*?<!-- end -->/gs;

/** The document with each of its tables made anew from docs/study. */
export async function filledStudy(document: string): Promise<string> {
  const tables = new Map<string, string>();
  for (const [, name] of document.matchAll(SECTION)) {
    const csv = await readFile(join(ROOT, `docs/study/${name}.csv`), 'utf8');
    const sweep = JSON.parse(await readFile(join(ROOT, `sweeps/study/${name}.json`), 'utf8'));
    tables.set(name!, studyTable(csv, sweep).join('\n'));
  }
  return document.replace(
    SECTION,
    (_, name: string) => `<!-- table ${name} -->\n${tables.get(name)}\n<!-- end -->`,
  );
}

async function main(output: string | undefined): Promise<void> {
  const file = join(ROOT, 'docs/study.md');
  const document = await readFile(file, 'utf8');
  if (output !== undefined) {
    for (const [, name] of document.matchAll(SECTION)) {
      const rows = join(output, 'sweeps', `study-${name}`, 'rows.csv');
      await copyFile(rows, join(ROOT, `docs/study/${name}.csv`));
    }
  }
  await writeFile(file, await filledStudy(document));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main(process.argv[2]);
