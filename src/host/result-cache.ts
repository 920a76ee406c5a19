/** @file Results of nodes by what they were made of, so that a host runs again only what has changed. */
import type { FlowNode, NodeResult } from '../nodes/define-node.ts';
import type { NodeContext, Roots } from '../nodes/node-context.ts';
import { type FileRef, FileRefSchema, nameFile, resolveInside } from '../nodes/root-files.ts';
import { canonicalJson } from '../trainer/files/canonical-json.ts';
import { sha256 } from '../trainer/files/hash.ts';
import { knownSha256 } from '../trainer/files/known-hash.ts';
import { contentOf, isTensor, objectsIn } from './content.ts';

/** Room for some hundred pictures of 1024 x 1024; handles take next to none. */
const MAX_CACHE_BYTES = 2 ** 30;
/** What a result takes besides its tensors, roughly: handles, file names, the entry itself. */
const BYTES_PER_RESULT = 4096;

/** Handles have more fields than the file reference in them. */
const AnyFileRefSchema = FileRefSchema.strip();

interface Entry {
  readonly result: NodeResult;
  readonly files: readonly FileRef[];
  readonly bytes: number;
}

/**
 * The key of a node's result: what the node is, the content of all its inputs with defaults filled
 * in, and its fingerprint. Node ids are no part of it: equal work has equal results.
 */
export async function resultKey(
  kind: FlowNode,
  values: Readonly<Record<string, unknown>>,
  context: NodeContext,
): Promise<string> {
  const inputs = contentOf(kind.readInputs(values));
  const fingerprint = await kind.fingerprint(values, context);
  return sha256(canonicalJson({ type: kind.definition.id, inputs, fingerprint }));
}

/** Keeps results within a number of bytes; those that were not used for the longest time go first. */
export class ResultCache {
  readonly #limit: number;
  /** Least recently used first. */
  readonly #entries = new Map<string, Entry>();
  #bytes = 0;

  constructor(limitBytes = MAX_CACHE_BYTES) {
    this.#limit = limitBytes;
  }

  /** The result, if all files that it wrote or names are still there and unchanged; else it is forgotten. */
  async find(key: string, roots: Roots): Promise<NodeResult | undefined> {
    const entry = this.#entries.get(key);
    if (!entry) return undefined;
    for (const file of entry.files) {
      if (await isUnchanged(file, roots)) continue;
      this.#remove(key);
      return undefined;
    }
    // Another run may have pushed it out meanwhile; its result is good all the same.
    if (this.#entries.delete(key)) this.#entries.set(key, entry);
    return entry.result;
  }

  /** Keeps a result. One that is too large, or whose files are gone already, is not kept. */
  async store(key: string, result: NodeResult, roots: Roots): Promise<void> {
    const bytes = bytesOf(result);
    if (bytes > this.#limit) return;
    const files = await filesOf(result, roots).catch(() => undefined);
    if (!files) return;
    this.#remove(key);
    this.#entries.set(key, { result, files, bytes });
    this.#bytes += bytes;
    for (const oldest of this.#entries.keys()) {
      if (this.#bytes <= this.#limit) break;
      this.#remove(oldest);
    }
  }

  #remove(key: string): void {
    this.#bytes -= this.#entries.get(key)?.bytes ?? 0;
    this.#entries.delete(key);
  }
}

function bytesOf({ outputs }: NodeResult): number {
  let bytes = BYTES_PER_RESULT;
  for (const part of objectsIn(outputs)) if (isTensor(part)) bytes += part.data.byteLength;
  return bytes;
}

/** The files that the outputs name, and those that the node wrote, which are hashed here. */
async function filesOf(result: NodeResult, roots: Roots): Promise<FileRef[]> {
  const refs = [...objectsIn(result.outputs)].flatMap(
    (part) => AnyFileRefSchema.safeParse(part).data ?? [],
  );
  for (const path of result.files ?? []) {
    const isNamed = refs.some((ref) => ref.root === 'output' && ref.path === path);
    if (!isNamed) refs.push(await nameFile(roots, 'output', path));
  }
  return refs;
}

async function isUnchanged(ref: FileRef, roots: Roots): Promise<boolean> {
  try {
    return (await knownSha256(await resolveInside(roots, ref.root, ref.path))) === ref.sha256;
  } catch {
    return false;
  }
}
