/** @file Results of nodes that trained something, kept on disk: what one run of a sweep has made, all others find. */
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { NodeResult } from '../../nodes/define-node.ts';
import type { Roots } from '../../nodes/node-context.ts';
import { atomicWrite } from '../../trainer/files/atomic-write.ts';
import { isTensor, objectsIn } from '../content.ts';
import { ResultCache } from '../result-cache.ts';

/** Relative to the output folder; it may be deleted at any time, which costs time and nothing else. */
const FOLDER = 'cache/results';

const KeptSchema = z.strictObject({
  outputs: z.record(z.string(), z.json()),
  files: z.array(z.string()),
});

/** A cache whose results that wrote files and hold no tensors outlive the process. */
export class KeptResults extends ResultCache {
  override async find(key: string, roots: Roots): Promise<NodeResult | undefined> {
    const known = await super.find(key, roots);
    if (known) return known;
    const kept = await readKept(fileOf(key, roots));
    if (!kept) return undefined;
    await super.store(key, kept, roots);
    // Finds it only if the files that it names are there and unchanged.
    return super.find(key, roots);
  }

  override async store(key: string, result: NodeResult, roots: Roots): Promise<void> {
    await super.store(key, result, roots);
    const { files = [], outputs, blocked } = result;
    const hasTensors = [...objectsIn(outputs)].some(isTensor);
    if (files.length === 0 || hasTensors || blocked) return;
    await mkdir(join(roots.output, FOLDER), { recursive: true });
    await atomicWrite(fileOf(key, roots), [
      new TextEncoder().encode(JSON.stringify({ outputs, files })),
    ]);
  }
}

function fileOf(key: string, roots: Roots): string {
  return join(roots.output, FOLDER, `${key}.json`);
}

/** Undefined as well when it is damaged: the node then runs again. */
async function readKept(file: string): Promise<NodeResult | undefined> {
  try {
    return KeptSchema.parse(JSON.parse(await readFile(file, 'utf8')));
  } catch {
    return undefined;
  }
}
