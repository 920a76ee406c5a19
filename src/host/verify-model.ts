/** @file Whether a model or another safetensors file is whole and what it says. */
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { sha256OfFile } from '../trainer/files/hash.ts';
import { cardPath, hashInCard } from '../trainer/run/model-card.ts';
import { loadModel } from '../trainer/run/model-file.ts';
import { HASH_KEY } from '../trainer/run/model-metadata.ts';
import { inspectSafetensors, type SafetensorsInspection } from './inspect-safetensors.ts';
import { checkFinite, hashOfTensors } from './verify-tensors.ts';

export interface Findings {
  readonly kind: string;
  /** What was checked and is right, for people. */
  readonly checked: readonly string[];
  /** What is wrong. */
  readonly problems: readonly string[];
}

/** Throws when the file cannot be read, or not as the model that it says it is. */
export async function verifySafetensors(file: string): Promise<Findings> {
  const found = await inspectSafetensors(file);
  if (found.kind === 'model') return verifyModel(file, found);
  const checked = ['header and length'];
  const written = found.metadata[HASH_KEY];
  const problems = await checkFinite(file);
  if (written !== undefined) {
    const hash = `0x${await hashOfTensors(file)}`;
    checked.push(`hash of the tensors`);
    if (hash !== written) problems.push(`its tensors have sha256 ${hash}, it says ${written}`);
  }
  return { kind: found.kind, checked: [...checked, 'finite numbers'], problems };
}

async function verifyModel(file: string, found: SafetensorsInspection): Promise<Findings> {
  const { parameters } = await loadModel(file);
  const checked = ['names and shapes of the weights'];
  const problems: string[] = [];
  if (found.metadata[HASH_KEY] !== undefined) checked.push('hash of the weights');
  if (!parameters.every(Number.isFinite)) problems.push('it has weights that are not finite');
  const card = await readFile(cardPath(file), 'utf8').catch(() => undefined);
  if (card !== undefined) {
    checked.push('model card');
    const [told, hash] = [hashInCard(card), await sha256OfFile(file)];
    if (told !== hash) {
      const what = told === undefined ? 'no sha256' : `sha256 ${told}`;
      problems.push(`its card ${basename(cardPath(file))} gives ${what}, the file has ${hash}`);
    }
  }
  return { kind: 'model', checked, problems };
}
