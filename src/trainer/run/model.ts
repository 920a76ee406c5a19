/** @file A trained flow in memory and what its file says about it. */
import { z } from 'zod';
import { canonicalJson } from '../files/canonical-json.ts';
import { sha256 } from '../files/hash.ts';
import { studentGrid } from '../flow/grid.ts';
import { type NetworkConfig, NetworkConfigSchema } from '../nn/config.ts';
import { type LoraConfig, LoraConfigSchema } from '../nn/lora.ts';

export const TRANSITIONS = ['euler', 'fresh'] as const;

/** Most steps of a student. */
export const MAX_STUDENT_STEPS = 4;

/**
 * How a student turns noise z into a sample (0 = data, 1 = noise). One step: x0 = x - t* v(x, t*) from x = c_in z.
 * Several: from each time of the grid to the next by an Euler step (`euler`), or by predicting x0 and adding
 * fresh noise (`fresh`); x0 is predicted at the last time.
 */
export const StudentSettingsSchema = z
  .strictObject({
    tStar: z.number().gt(0).max(1),
    cIn: z.number().gt(0),
    /** Falling times of the steps, the first is t*; left out = t* alone. */
    grid: z.array(z.number().gt(0).max(1)).min(1).max(MAX_STUDENT_STEPS).optional(),
    transition: z.enum(TRANSITIONS).default('euler'),
  })
  .transform((settings) => ({ ...settings, grid: settings.grid ?? [settings.tStar] }))
  .refine(({ grid, tStar }) => grid[0] === tStar, { error: 'the grid must begin at t*' })
  .refine(({ grid }) => grid.every((t, i) => i === 0 || t < grid[i - 1]!), {
    error: 'the times of the grid must fall',
  });

export type StudentSettings = z.infer<typeof StudentSettingsSchema>;

/** The settings of a student of `steps` steps on ComfyUI's `simple` grid at `shift`; one step unless told otherwise. */
export function studentSettings(options: {
  readonly tStar: number;
  readonly cIn: number;
  readonly steps?: number;
  readonly shift?: number;
  readonly transition?: StudentSettings['transition'];
}): StudentSettings {
  const { tStar, cIn, steps = 1, shift = 1, transition = 'euler' } = options;
  return { tStar, cIn, grid: studentGrid(tStar, steps, shift), transition };
}

/** Stands for the name of a data set that nobody told. */
export const UNKNOWN_DATASET = 'unknown';

export const ModelInfoSchema = z.strictObject({
  role: z.enum(['teacher', 'online', 'student']),
  network: NetworkConfigSchema,
  /** Present for students only. */
  student: StudentSettingsSchema.optional(),
  /** For adapters: their form, and the hash of the weights that they adapt. */
  lora: z
    .strictObject({
      config: LoraConfigSchema,
      base: z.string(),
      /** The base's file when it was trained, below a folder of models. */
      file: z.string().optional(),
    })
    .optional(),
  /** Name and hash of the data set that the teacher was trained on. */
  dataset: z.strictObject({ name: z.string(), hash: z.string() }),
  /** What trained it: seed, steps, options, hash of the teacher... shown in the model card. */
  training: z.record(z.string(), z.json()),
});

export type ModelInfo = z.infer<typeof ModelInfoSchema>;

/** Adapters in the order of `loraParameterList`. */
export interface Adapters {
  readonly config: LoraConfig;
  readonly parameters: Float32Array;
}

/** A network with its weights, one flat float32 vector in the order of the network's parameter list. */
export interface FlowModel {
  readonly info: ModelInfo;
  readonly parameters: Float32Array;
  /** What the model adds to `parameters`, which are then its base's and may be shared with other models. */
  readonly adapters?: Adapters;
}

/** sha256 of what a model computes: network and float32 weights, whatever its file's name, type or metadata. */
export function weightsHash({ info, parameters, adapters }: FlowModel): string {
  const parts = [canonicalJson(anySize(info.network)), bytesOf(parameters)];
  if (adapters) parts.push(canonicalJson(adapters.config), bytesOf(adapters.parameters));
  return sha256(...parts);
}

/** The same weights make latents of other sizes, where the network leaves that open. */
function anySize(network: NetworkConfig) {
  if (network.kind !== 'mmdit') return network;
  const { height: _height, width: _width, ...rest } = network;
  return rest;
}

function bytesOf({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
