/** @file Committed measurements: one JSON file a topic under bench/results, one entry a case. */
import { mkdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { atomicWrite } from '../src/trainer/files/atomic-write.ts';

const FOLDER = new URL('./results/', import.meta.url);

/** Adds or replaces one entry of bench/results/TOPIC.json. */
export async function mergeResults(topic: string, key: string, entry: object): Promise<void> {
  await mkdir(FOLDER, { recursive: true });
  const path = fileURLToPath(new URL(`${topic}.json`, FOLDER));
  const known = await readFile(path, 'utf8').then(
    (text) => JSON.parse(text) as Record<string, object>,
    () => ({}),
  );
  const merged = Object.entries({ ...known, [key]: entry }).sort(([a], [b]) => (a < b ? -1 : 1));
  const text = `${JSON.stringify(Object.fromEntries(merged), null, 2)}\n`;
  await atomicWrite(path, [new TextEncoder().encode(text)]);
}
