/** @file Checkpoints of Stable Diffusion 3 and 3.5 as users have them: what is in a file, and its weights. */
import { FlowstepError } from '../../errors.ts';
import { type MmditConfig, MmditConfigSchema } from '../nn/config.ts';
import { parameterList } from '../nn/network.ts';
import type { ParameterList, ParameterSpec } from '../nn/parameters.ts';
import { sameShape, sizeOf } from '../tensor.ts';
import { checkScales, type ScaleNames, scaleNames } from './float8-scales.ts';
import { architectureOf } from './known-architectures.ts';
import { FLOAT_TYPES, isFloatType, readFloats } from './read-floats.ts';
import { SafetensorsFile } from './safetensors.ts';
import type { SafetensorsHeader } from './safetensors-header.ts';

/** Prefixes of the network's tensors: of checkpoints that hold text encoders and decoder too, and none. */
const PREFIXES = ['model.diffusion_model.', ''];

/** The tensor by which the architecture is known. */
const MARK = 'joint_blocks.0.context_block.attn.qkv.weight';

/** Names listed in a message before it says how many more there are. */
const LISTED = 4;

export const SD3_FORMS = ['SD3-medium', 'SD3.5-medium', 'SD3.5-large'] as const;
export type Sd3Form = (typeof SD3_FORMS)[number];

/** Which of the released networks a configuration has the form of, whatever its depth. */
export function formOf({ qkNorm, dualBlocks }: MmditConfig): Sd3Form {
  if (dualBlocks.length > 0) return 'SD3.5-medium';
  return qkNorm ? 'SD3.5-large' : 'SD3-medium';
}

/** Side of the latents that a network works on unless told otherwise: pictures of 1024 x 1024. */
const USUAL_SIDE = 128;

/** Size of the latents that a network works on: 1/8 of the picture's. */
export interface LatentSize {
  readonly height: number;
  readonly width: number;
}

/** What a checkpoint holds, known from its header alone. */
export interface Sd3Layout {
  readonly config: MmditConfig;
  readonly form: Sd3Form;
  /** Stands before the names of the network's tensors. */
  readonly prefix: string;
}

export interface Sd3Checkpoint extends Sd3Layout {
  /** The flat vector of the network's parameters. */
  readonly parameters: Float32Array;
}

/**
 * What a file's header says of its network, for the usual size of latents or all that the position table covers unless `size`
 * is given; throws MODEL_INVALID when it is another architecture, when tensors are missing, unknown, of another shape or of
 * a type that is not read, or when the position table does not cover the latents.
 */
export function recogniseSd3(
  path: string,
  header: SafetensorsHeader,
  size?: LatentSize,
): Sd3Layout {
  const prefix = PREFIXES.find((p) => header.tensors.has(p + MARK));
  if (prefix === undefined) {
    throw invalid(
      path,
      `this is ${architectureOf(header)}, neither a Flowstep model nor Stable Diffusion 3`,
      {
        hint: `Models of Flowstep come from Save Flow Model and the training nodes. Stable Diffusion 3 and 3.5 in the released layout have a tensor "${MARK}", with or without the prefix "${PREFIXES[0]}".`,
      },
    );
  }
  const config = configOf(path, header, prefix, size);
  checkTensors(path, header, prefix, parameterList(config));
  return { config, form: formOf(config), prefix };
}

/** Reads the weights, one tensor after the other, into one float32 vector; throws as `recogniseSd3`, or as reading a file does. */
export async function readSd3(path: string, size?: LatentSize): Promise<Sd3Checkpoint> {
  await using file = await SafetensorsFile.open(path);
  const layout = recogniseSd3(path, file.header, size);
  const list = parameterList(layout.config);
  const parameters = flatVector(path, list.size);
  for (const spec of list.specs) {
    const name = layout.prefix + spec.name;
    const values = await readFloats(file, name);
    const scale = scaleNames(file.header, name)?.weight;
    if (scale !== undefined) multiply(values, (await readFloats(file, scale))[0]!);
    parameters.set(values, spec.offset);
  }
  return { ...layout, parameters };
}

function flatVector(path: string, size: number): Float32Array {
  try {
    return new Float32Array(size);
  } catch (cause) {
    const gibibytes = ((4 * size) / 2 ** 30).toFixed(1);
    throw new FlowstepError(
      'ENGINE',
      `${path}: no memory for ${size} weights in float32, ${gibibytes} GiB`,
      {
        file: path,
        cause,
        hint: 'Free memory. Node before 22.3 holds at most 4294967295 numbers at once, which Stable Diffusion 3.5 large exceeds.',
      },
    );
  }
}

function multiply(values: Float32Array, factor: number): void {
  for (let i = 0; i < values.length; i++) values[i]! *= factor;
}

function configOf(
  path: string,
  header: SafetensorsHeader,
  prefix: string,
  size: LatentSize | undefined,
): MmditConfig {
  const shapeOf = (name: string, rank: number) => {
    const shape = header.tensors.get(prefix + name)?.shape;
    if (shape?.length === rank) return shape;
    const found = shape ? `is [${shape.join(', ')}]` : 'is missing';
    throw invalid(path, `${prefix}${name} ${found}: a tensor of ${rank} axes is needed`);
  };
  const kernel = shapeOf('x_embedder.proj.weight', 4);
  const positions = Math.sqrt(shapeOf('pos_embed', 3)[1]!);
  const side = Math.min(USUAL_SIDE, Math.floor(positions * kernel[2]!));
  const dual = /^joint_blocks\.(\d+)\.x_block\.attn2\.qkv\.weight$/;
  const parsed = MmditConfigSchema.safeParse({
    kind: 'mmdit',
    depth: kernel[0]! / 64,
    ...(size ?? { height: side, width: side }),
    channels: kernel[1],
    patch: kernel[2],
    positions,
    contextWidth: shapeOf('context_embedder.weight', 2)[1],
    pooledWidth: shapeOf('y_embedder.mlp.0.weight', 2)[1],
    qkNorm: header.tensors.has(`${prefix}joint_blocks.0.context_block.attn.ln_q.weight`),
    dualBlocks: [...header.tensors.keys()]
      .flatMap((name) => (name.startsWith(prefix) ? [dual.exec(name.slice(prefix.length))] : []))
      .flatMap((match) => (match ? [Number(match[1])] : []))
      .sort((a, b) => a - b),
  });
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw invalid(path, `its network cannot be used: ${issue!.path.join('.')}: ${issue!.message}`);
}

function checkTensors(
  path: string,
  header: SafetensorsHeader,
  prefix: string,
  list: ParameterList,
): void {
  const problems: string[] = [];
  const known = new Set<string>();
  const missing: string[] = [];
  for (const spec of list.specs) {
    const name = prefix + spec.name;
    known.add(name);
    const scales = scaleNames(header, name);
    for (const scale of Object.values(scales ?? {})) known.add(scale);
    if (header.tensors.has(name)) problems.push(...problemsWith(header, name, spec, scales));
    else missing.push(name);
  }
  const marker = `${prefix}scaled_fp8`;
  const unknown = [...header.tensors.keys()].filter(
    (name) => name.startsWith(prefix) && name !== marker && !known.has(name),
  );
  if (missing.length > 0) problems.push(`missing: ${someOf(missing)}`);
  if (unknown.length > 0) problems.push(`unknown: ${someOf(unknown)}`);
  if (problems.length === 0) return;
  throw invalid(path, someOf(problems, '; '), { issues: problems.map((message) => ({ message })) });
}

function problemsWith(
  { tensors }: SafetensorsHeader,
  name: string,
  { shape }: ParameterSpec,
  scales: ScaleNames | undefined,
): string[] {
  const { dtype, shape: found } = tensors.get(name)!;
  const problems: string[] = [];
  if (!isFloatType(dtype)) problems.push(`${name} is ${dtype}, which is not one of ${FLOAT_TYPES}`);
  if (!sameShape(found, shape)) {
    problems.push(`${name} is [${found.join(', ')}], the network needs [${shape.join(', ')}]`);
  }
  if (scales) problems.push(...checkScales(scales, (scale) => sizeOf(tensors.get(scale)!.shape)));
  return problems;
}

function someOf(names: readonly string[], separator = ', '): string {
  const more = names.length - LISTED;
  const listed = names.slice(0, LISTED).join(separator);
  return more > 0 ? `${listed}${separator}and ${more} more` : listed;
}

function invalid(
  file: string,
  problem: string,
  details: { hint?: string; issues?: { message: string }[] } = {},
): FlowstepError {
  return new FlowstepError('MODEL_INVALID', `${file}: ${problem}`, { file, ...details });
}
