/** @file Folders and contexts for node tests. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { NodeContext, Roots } from '../../src/nodes/node-context.ts';
import type { StepEvent } from '../../src/trainer/run/events.ts';
import { tempFolder } from '../support/temp-folder.ts';

/** Fresh empty folders, removed after the test. */
export async function makeRoots(): Promise<Roots> {
  return rootsIn(await tempFolder());
}

/** The folders that nodes may touch, made inside `base`. */
export async function rootsIn(base: string): Promise<Roots> {
  const roots = {
    models: join(base, 'models'),
    output: join(base, 'output'),
    data: join(base, 'data'),
  };
  await Promise.all(Object.values(roots).map((folder) => mkdir(folder)));
  return roots;
}

/** A context over the folders; progress events are collected in `events`. */
export function makeContext(
  roots: Roots,
  signal: AbortSignal = new AbortController().signal,
): NodeContext & { events: StepEvent[] } {
  const events: StepEvent[] = [];
  return { roots, signal, events, onProgress: (event) => events.push(event) };
}
