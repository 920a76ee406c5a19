/** @file Committed measurements: one JSON file a topic under bench/results, one entry a case. */
import { mkdir, readFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { atomicWrite } from '../src/trainer/files/atomic-write.ts';

const FOLDER = new URL('./results/', import.meta.url);

/** Adds or replaces one entry of bench/results/TOPIC.json, with date and machine. */
export async function mergeResults(topic: string, key: string, entry: object): Promise<void> {
  await mkdir(FOLDER, { recursive: true });
  const known = await readResults(topic);
  const machine = `${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}`;
  const dated = { ...entry, machine, date: new Date().toISOString().slice(0, 10) };
  const merged = Object.entries({ ...known, [key]: dated }).sort(([a], [b]) => (a < b ? -1 : 1));
  const text = `${JSON.stringify(Object.fromEntries(merged), null, 2)}\n`;
  await atomicWrite(pathOf(topic), [new TextEncoder().encode(text)]);
}

/** The entries of a topic, of which there may be none yet. */
export async function readResults(topic: string): Promise<Record<string, object>> {
  const text = await readFile(pathOf(topic), 'utf8').catch(() => '{}');
  return JSON.parse(text) as Record<string, object>;
}

function pathOf(topic: string): string {
  return fileURLToPath(new URL(`${topic}.json`, FOLDER));
}

/** Runs a training to its end; returns what it returns. */
export async function finish<E, R>(run: AsyncGenerator<E, R>): Promise<R> {
  for (;;) {
    const next = await run.next();
    if (next.done) return next.value;
  }
}
