/** @file What lies beside an .onnx file and decides with it what its network computes: its declaration, and weights in other files. */
import { readFile } from 'node:fs/promises';
import { FlowstepError } from '../../errors.ts';
import { isExternal, parseModel } from '../graph/onnx-tensors.ts';
import { canonicalJson } from './canonical-json.ts';
import { sha256 } from './hash.ts';
import { knownSha256 } from './known-hash.ts';
import { declarationBeside, isOnnxPath } from './onnx-declaration.ts';
import { insideFolder, locationOf } from './onnx-external-data.ts';
import { readError } from './read-error.ts';

/** Lists of a name or two, as a rule; this many files are more than a graph names. */
const MAX_KNOWN = 1000;

/** Where tensors lie by the sha256 of their .onnx file: reading one that holds its weights takes seconds. */
const knownLocations = new Map<string, readonly string[]>();

/**
 * sha256 of what lies beside an .onnx file; undefined for other files, and when there is nothing. Of a declaration alone it is
 * that of its text. Throws FILE_UNREADABLE.
 */
export async function besideHash(file: string): Promise<string | undefined> {
  if (!isOnnxPath(file)) return undefined;
  const declaration = await declarationBeside(file);
  const weights = await externalHash(file);
  const parts = [declaration, weights].filter((part) => part !== undefined);
  return parts.length > 0 ? sha256(...parts) : undefined;
}

/** sha256 of a model file; of an .onnx file whose weights lie in other files, of it and of them. */
export async function modelSha256(file: string): Promise<string> {
  const own = await knownSha256(file);
  const weights = isOnnxPath(file) ? await externalHash(file) : undefined;
  return weights === undefined ? own : sha256(own, weights);
}

/** Of the files in which the tensors of an .onnx file lie; undefined when they are all in it. */
async function externalHash(file: string): Promise<string | undefined> {
  const locations = await externalLocations(file);
  if (locations.length === 0) return undefined;
  const contents = locations.map(async (location) => [location, await hashAt(file, location)]);
  return sha256(canonicalJson(await Promise.all(contents)));
}

/** Null for what is not there or outside of the folder: opening the model tells that, if the network needs it. */
async function hashAt(file: string, location: string): Promise<string | null> {
  try {
    return await knownSha256(await insideFolder(file, location, 'a tensor'));
  } catch (error) {
    if (!(error instanceof FlowstepError)) throw error;
    return null;
  }
}

/** Names of the other files, as the .onnx file has them. */
async function externalLocations(file: string): Promise<readonly string[]> {
  const hash = await knownSha256(file);
  const known = knownLocations.get(hash);
  if (known) return known;
  const bytes = await readFile(file).catch((error: unknown) => {
    throw readError(file, error);
  });
  const locations = locationsIn(bytes, file);
  // What was written while it was read is neither the old content nor the new.
  if ((await knownSha256(file)) === hash) knownLocations.set(hash, locations);
  const [oldest] = knownLocations.keys();
  if (knownLocations.size > MAX_KNOWN && oldest !== undefined) knownLocations.delete(oldest);
  return locations;
}

function locationsIn(bytes: Uint8Array, file: string): string[] {
  try {
    const { graph } = parseModel(bytes, file);
    return [...new Set((graph?.initializer ?? []).filter(isExternal).map(locationOf))].sort();
  } catch (error) {
    // A file that is no model has no tensors; opening it tells what is wrong.
    if (!(error instanceof FlowstepError)) throw error;
    return [];
  }
}
