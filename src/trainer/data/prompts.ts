/** @file Prompts as their embeddings: a safetensors file that training reads row by row, however many there are. */
import { FlowstepError } from '../../errors.ts';
import { knownSha256 } from '../files/known-hash.ts';
import { isFloatType, readFloatRows, readFloats } from '../files/read-floats.ts';
import { SafetensorsFile, writeSafetensors } from '../files/safetensors.ts';
import type { SafetensorsHeader } from '../files/safetensors-header.ts';
import { float32, type Shape, type Tensor } from '../tensor.ts';

/** Texts of one length: one vector a token, and one for all of it. */
export interface PromptSet {
  readonly name: string;
  /** sha256 of the file. */
  readonly hash: string;
  readonly count: number;
  /** Tokens of each text. */
  readonly tokens: number;
  readonly contextWidth: number;
  readonly pooledWidth: number;
  /** What stands for no condition, [1, L, W] and [1, P]: all zeros unless the file has one. */
  readonly empty: Embeddings;
  /** context [n, L, W] and pooled [n, P] of the chosen prompts; -1 is the empty one. */
  rows(choices: Int32Array): Promise<Embeddings>;
}

export interface Embeddings {
  /** [N, L, W] */
  readonly context: Tensor<'float32'>;
  /** [N, P] */
  readonly pooled: Tensor<'float32'>;
}

const CONTEXT = 'context';
const POOLED = 'pooled';
/** Of the prompt that stands for no condition: [1, L, W] and [1, P]. */
const EMPTY = 'empty_';

/** Writes embeddings, and those of the empty prompt if it is not all zeros, atomically. Throws FILE_UNWRITABLE. */
export async function writePrompts(
  path: string,
  { context, pooled }: Embeddings,
  empty?: Embeddings,
): Promise<void> {
  const tensors = new Map<string, Tensor>([
    [CONTEXT, context],
    [POOLED, pooled],
  ]);
  if (empty) {
    tensors.set(EMPTY + CONTEXT, empty.context);
    tensors.set(EMPTY + POOLED, empty.pooled);
  }
  await writeSafetensors(path, tensors, { format: 'flowstep-prompts' });
}

/** Opens a file of prompts; throws FILE_FORMAT naming what is missing or of another shape, or as reading a file does. */
export async function openPrompts(name: string, path: string): Promise<PromptSet> {
  await using file = await SafetensorsFile.open(path);
  const [count, tokens, contextWidth] = shapeOf(path, file.header, CONTEXT, 3) as Three;
  const [pooledCount, pooledWidth] = shapeOf(path, file.header, POOLED, 2) as Two;
  if (pooledCount !== count) {
    throw invalid(path, `${CONTEXT} has ${count} prompts and ${POOLED} ${pooledCount}`);
  }
  const hasEmpty = file.header.tensors.has(EMPTY + CONTEXT);
  if (hasEmpty) {
    requireShape(path, file.header, EMPTY + CONTEXT, [1, tokens, contextWidth]);
    requireShape(path, file.header, EMPTY + POOLED, [1, pooledWidth]);
  }
  const empty: Embeddings = {
    context: float32(new Float32Array(tokens * contextWidth), [1, tokens, contextWidth]),
    pooled: float32(new Float32Array(pooledWidth), [1, pooledWidth]),
  };
  if (hasEmpty) {
    empty.context.data.set(await readFloats(file, EMPTY + CONTEXT));
    empty.pooled.data.set(await readFloats(file, EMPTY + POOLED));
  }
  return {
    name,
    hash: await knownSha256(path),
    count,
    tokens,
    contextWidth,
    pooledWidth,
    empty,
    async rows(choices) {
      const n = choices.length;
      const context = new Float32Array(n * tokens * contextWidth);
      const pooled = new Float32Array(n * pooledWidth);
      await using open = await SafetensorsFile.open(path);
      for (const [k, choice] of choices.entries()) {
        const read = async (tensor: string, none: Float32Array) =>
          choice < 0 ? none : readFloatRows(open, tensor, choice, choice + 1);
        context.set(await read(CONTEXT, empty.context.data), k * tokens * contextWidth);
        pooled.set(await read(POOLED, empty.pooled.data), k * pooledWidth);
      }
      return {
        context: float32(context, [n, tokens, contextWidth]),
        pooled: float32(pooled, [n, pooledWidth]),
      };
    },
  };
}

type Two = [number, number];
type Three = [number, number, number];

function shapeOf(path: string, header: SafetensorsHeader, name: string, rank: number): Shape {
  const entry = header.tensors.get(name);
  if (!entry) throw invalid(path, `there is no tensor ${name}`);
  const { shape, dtype } = entry;
  if (!isFloatType(dtype)) throw invalid(path, `${name} is ${dtype}`);
  if (shape.length !== rank || shape.some((d) => d === 0)) {
    throw invalid(path, `${name} is [${shape.join(', ')}]: ${rank} axes are needed`);
  }
  return shape;
}

function requireShape(path: string, header: SafetensorsHeader, name: string, wanted: Shape): void {
  const shape = shapeOf(path, header, name, wanted.length);
  if (shape.join() === wanted.join()) return;
  throw invalid(path, `${name} is [${shape.join(', ')}], the prompts need [${wanted.join(', ')}]`);
}

function invalid(file: string, problem: string): FlowstepError {
  return new FlowstepError('FILE_FORMAT', `${file} is no file of prompts: ${problem}`, {
    file,
    hint: 'Flow Prompt Set makes such files: context [N, L, W] and pooled [N, P].',
  });
}
