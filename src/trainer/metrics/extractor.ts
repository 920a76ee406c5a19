/** @file Features of pictures by any .onnx network that comes with a declaration of what it takes and gives. */
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { FlowstepError } from '../../errors.ts';
import { canonicalJson } from '../files/canonical-json.ts';
import { sha256 } from '../files/hash.ts';
import { knownSha256 } from '../files/known-hash.ts';
import { readError } from '../files/read-error.ts';
import { parseModel } from '../graph/onnx-tensors.ts';
import { type ModelPort, ModelSession } from '../runtime/model-session.ts';
import { sizeOf, type Tensor } from '../tensor.ts';
import { throwIfStopped } from './event-loop-turns.ts';
import {
  LEGACY_TENSORFLOW,
  type Pictures,
  PreprocessingSchema,
  preprocess,
  preprocessedShape,
} from './preprocessing.ts';

/** What NAME.json beside NAME.onnx holds, or the file's own metadata under `EXTRACTOR_KEY`. */
export const ExtractorSchema = z.strictObject({
  /** Goes into the names of scores. */
  name: z.string().min(1).max(100),
  preprocessing: z.union([
    z.literal('legacy_tensorflow').transform(() => LEGACY_TENSORFLOW),
    PreprocessingSchema,
  ]),
  /** Output with the features; default: the first. */
  features: z.string().optional(),
  /** Output with a classifier's logits, for the Inception score. */
  logits: z.string().optional(),
});

export type Extractor = z.infer<typeof ExtractorSchema>;

/** Metadata key of an .onnx file that declares itself. */
export const EXTRACTOR_KEY = 'flowstep.extractor';

/** Pictures a run where the file leaves it open. */
const DEFAULT_BATCH = 64;

export interface ExtractedFeatures {
  readonly count: number;
  /** [count, dim] */
  readonly features: Float32Array;
  /** [count, classes] */
  readonly logits?: Float32Array;
}

export class FeatureExtractor implements Disposable {
  readonly declared: Extractor;
  /** Of file and declaration: the same hash gives the same features. */
  readonly hash: string;
  /** Numbers a picture. */
  readonly dim: number;
  readonly #file: string;
  readonly #session: ModelSession;
  readonly #input: ModelPort;
  readonly #outputs: readonly ModelPort[];
  readonly #batch: number;

  private constructor(file: string, model: Uint8Array, declared: Extractor) {
    this.declared = declared;
    this.hash = sha256(model, canonicalJson(declared));
    this.#file = file;
    this.#session = new ModelSession(model, file);
    try {
      this.#input = this.#checkInput();
      const features = this.#outputNamed(declared.features ?? this.#session.outputs[0]!.name);
      const logits = declared.logits === undefined ? [] : [this.#outputNamed(declared.logits)];
      this.#outputs = [features, ...logits];
    } catch (error) {
      this.#session[Symbol.dispose]();
      throw error;
    }
    this.dim = widthOf(this.#outputs[0]!);
    this.#batch = this.#input.shape[0] ?? DEFAULT_BATCH;
  }

  /**
   * Opens an .onnx file. Throws FILE_NOT_FOUND, FILE_UNREADABLE, FILE_FORMAT, OPERATOR_UNSUPPORTED or ENGINE, and
   * SHAPE_MISMATCH where the network does not fit its declaration.
   */
  static async open(file: string): Promise<FeatureExtractor> {
    const model = await read(file);
    if (!model) throw readError(file, Object.assign(new Error(), { code: 'ENOENT' }));
    return new FeatureExtractor(file, model, await declarationOf(file, model));
  }

  [Symbol.dispose](): void {
    this.#session[Symbol.dispose]();
  }

  /** Throws SHAPE_MISMATCH when the pictures do not fit, and INTERRUPTED. */
  async extract(pictures: Pictures, signal?: AbortSignal): Promise<ExtractedFeatures> {
    const [count, ...one] = pictures.shape;
    this.requireFits(pictures.shape);
    const results = this.#outputs.map((output) => new Float32Array(count * widthOf(output)));
    for (let from = 0; from < count; from += this.#batch) {
      throwIfStopped(signal);
      const size = Math.min(this.#batch, count - from);
      const data = pictures.data.subarray(from * sizeOf(one), (from + size) * sizeOf(one));
      const parts = await this.#runBatch({ shape: [size, ...one], data });
      for (const [i, part] of parts.entries()) {
        const width = widthOf(this.#outputs[i]!);
        results[i]!.set(part.subarray(0, size * width), from * width);
      }
    }
    const [features, logits] = results;
    return { count, features: features!, ...(logits && { logits }) };
  }

  /** A batch that the file fixes is filled up with zeros. */
  async #runBatch(pictures: Pictures): Promise<Float32Array[]> {
    const { preprocessing } = this.declared;
    const [size, channels, height, width] = preprocessedShape(pictures.shape, preprocessing);
    const count = this.#input.shape[0] ?? size;
    const values = new Float32Array(count * channels * height * width);
    values.set(await preprocess(pictures, preprocessing));
    const isPlanar = preprocessing.layout === 'nchw';
    const shape = isPlanar ? [count, channels, height, width] : [count, height, width, channels];
    const input: Tensor =
      this.#input.dtype === 'uint8'
        ? { dtype: 'uint8', shape, data: Uint8Array.from(Uint8ClampedArray.from(values)) }
        : { dtype: 'float32', shape, data: values };
    const outputs = this.#outputs.map((output) => ({
      dtype: 'float32' as const,
      shape: [count, ...output.shape.slice(1).map((d) => d ?? 1)],
      data: new Float32Array(count * widthOf(output)),
    }));
    await this.#session.run(
      { [this.#input.name]: input },
      Object.fromEntries(this.#outputs.map(({ name }, i) => [name, outputs[i]!])),
    );
    return outputs.map(({ data }) => data);
  }

  #checkInput(): ModelPort {
    const [input, ...more] = this.#session.inputs;
    if (!input || more.length > 0) {
      throw this.#unfit(`it has ${more.length + (input ? 1 : 0)} inputs, not one`);
    }
    if (input.dtype !== 'float32' && input.dtype !== 'uint8') {
      throw this.#unfit(`its input "${input.name}" is ${input.dtype}, not float32 or uint8`);
    }
    if (input.shape.length !== 4) {
      throw this.#unfit(`its input "${input.name}" has ${input.shape.length} axes, not four`);
    }
    return input;
  }

  #outputNamed(name: string): ModelPort {
    const output = this.#session.outputs.find((port) => port.name === name);
    if (!output) {
      const names = this.#session.outputs.map((port) => port.name).join(', ');
      throw this.#unfit(`it has no output "${name}" but ${names}`);
    }
    const isOpen = output.shape.length < 2 || output.shape.slice(1).includes(undefined);
    if (output.dtype !== 'float32' || isOpen) {
      const shape = output.shape.map((d) => d ?? '?').join(', ');
      throw this.#unfit(
        `its output "${name}" is ${output.dtype}[${shape}], not float32[samples, features]`,
      );
    }
    return output;
  }

  /** Throws SHAPE_MISMATCH when pictures [count, channels, height, width] do not fit the network. */
  requireFits(shape: Pictures['shape']): void {
    const { preprocessing } = this.declared;
    const [, channels, height, width] = preprocessedShape(shape, preprocessing);
    const isPlanar = preprocessing.layout === 'nchw';
    const sizes = isPlanar ? [channels, height, width] : [height, width, channels];
    const taken = this.#input.shape.slice(1);
    if (taken.every((size, i) => size === undefined || size === sizes[i])) return;
    throw this.#unfit(
      `it takes pictures of [${taken.map((d) => d ?? '?').join(', ')}], and these are [${sizes.join(', ')}] after preprocessing`,
    );
  }

  #unfit(problem: string): FlowstepError {
    return new FlowstepError(
      'SHAPE_MISMATCH',
      `${this.#file} cannot extract features: ${problem}`,
      {
        file: this.#file,
        hint: `Correct its declaration, ${sidecarOf(this.#file)}, or export the network again.`,
      },
    );
  }
}

/** sha256 of an extractor's file and of what lies beside it to declare it: known without opening it. */
export async function extractorFilesHash(file: string): Promise<string> {
  const declaration = await read(sidecarOf(file));
  return sha256(await knownSha256(file), ...(declaration ? [declaration] : []));
}

/** Features of pictures that come in parts, of which one is in memory at a time. Throws as `extract`. */
export async function extractFeatures(
  extractor: FeatureExtractor,
  parts: AsyncIterable<Pictures>,
  signal?: AbortSignal,
): Promise<ExtractedFeatures> {
  const found: ExtractedFeatures[] = [];
  for await (const pictures of parts) found.push(await extractor.extract(pictures, signal));
  const join = (arrays: readonly Float32Array[]) => {
    const all = new Float32Array(arrays.reduce((sum, array) => sum + array.length, 0));
    let at = 0;
    for (const array of arrays) {
      all.set(array, at);
      at += array.length;
    }
    return all;
  };
  const logits = found.flatMap((part) => (part.logits ? [part.logits] : []));
  return {
    count: found.reduce((sum, { count }) => sum + count, 0),
    features: join(found.map(({ features }) => features)),
    ...(logits.length > 0 && { logits: join(logits) }),
  };
}

function widthOf({ shape }: ModelPort): number {
  return sizeOf(shape.slice(1).map((d) => d ?? 1));
}

function sidecarOf(file: string): string {
  return `${file.replace(/\.onnx$/i, '')}.json`;
}

async function read(file: string): Promise<Uint8Array | undefined> {
  try {
    return await readFile(file);
  } catch (thrown) {
    const error = readError(file, thrown);
    if (error.code === 'FILE_NOT_FOUND') return undefined;
    throw error;
  }
}

async function declarationOf(file: string, model: Uint8Array): Promise<Extractor> {
  const sidecar = sidecarOf(file);
  const beside = await read(sidecar);
  const inside = parseModel(model, file).metadataProps.find(({ key }) => key === EXTRACTOR_KEY);
  const hint =
    'Such as {"name": "inception-2015-12-05", "preprocessing": "legacy_tensorflow", "features": "pool3"}; docs/metrics.md has all fields.';
  const text = beside ? new TextDecoder().decode(beside) : inside?.value;
  const place = beside ? sidecar : file;
  if (text === undefined) {
    throw new FlowstepError('FILE_FORMAT', `${file} does not say how pictures are prepared`, {
      file,
      hint: `Write ${sidecar}. ${hint}`,
    });
  }
  const parsed = ExtractorSchema.safeParse(parseJson(text));
  if (parsed.success) return parsed.data;
  throw new FlowstepError('FILE_FORMAT', `${place} does not declare an extractor`, {
    file: place,
    hint,
    issues: parsed.error.issues.map((issue) => ({
      message: issue.message,
      field: issue.path.join('.'),
    })),
  });
}

/** Undefined for what is no JSON, which the schema then refuses. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
