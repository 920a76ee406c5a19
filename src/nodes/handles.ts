/** @file What travels over the links of a graph: small JSON handles for models, data and runs, tensors for the rest. */
import { z } from 'zod';
import { POINT_SET_NAMES } from '../trainer/data/points.ts';
import { TimeDensitySchema } from '../trainer/flow/density.ts';
import { FLOW_WEIGHTS } from '../trainer/methods/flow-matching.ts';
import { LoraConfigSchema } from '../trainer/nn/lora.ts';
import { sizeOf, type Tensor } from '../trainer/tensor.ts';
import { FileRefSchema, ModelFileRefSchema } from './root-files.ts';

/** Tags a schema with the type name that links carry, for derive-definition.ts. */
function linked<Schema extends z.ZodType>(link: string, schema: Schema): Schema {
  return schema.meta({ link });
}

const datasetFields = {
  type: z.literal('FLOW_DATASET'),
  hash: z.string(),
  /** Number of captions, for sets that have them. */
  captionCount: z.int().min(1).optional(),
};

/** Fields of sets of pictures. */
const pictureFields = {
  ...datasetFields,
  /** Absent means false, as in workflows from before there was a choice. */
  flip: z.boolean().optional(),
};

/** A trained teacher or student on disk, and LoRA files that change it, in their order. */
export const FlowModelSchema = linked(
  'FLOW_MODEL',
  ModelFileRefSchema.extend({
    type: z.literal('FLOW_MODEL'),
    loras: z
      .array(z.strictObject({ file: FileRefSchema, strength: z.number() }))
      .min(1)
      .optional(),
  }),
);

/** A file of prompts as embeddings. */
export const FlowPromptsSchema = linked(
  'FLOW_PROMPTS',
  FileRefSchema.extend({ type: z.literal('FLOW_PROMPTS') }),
);

/** Where a data set is, and the hash of what it held when the graph named it. */
export const FlowDatasetSchema = linked(
  'FLOW_DATASET',
  z.discriminatedUnion('kind', [
    z.strictObject({ ...datasetFields, kind: z.literal('points'), set: z.enum(POINT_SET_NAMES) }),
    z.strictObject({
      ...pictureFields,
      kind: z.literal('fashion-mnist'),
      split: z.enum(['train', 'test']),
    }),
    z.strictObject({
      ...pictureFields,
      kind: z.literal('cifar10'),
      split: z.enum(['train', 'test']),
    }),
    z.strictObject({
      ...pictureFields,
      kind: z.literal('idx'),
      images: FileRefSchema,
      labels: FileRefSchema.optional(),
    }),
    z.strictObject({
      ...pictureFields,
      kind: z.literal('folder'),
      /** Relative to the data folder, with forward slashes. */
      folder: z.string().min(1),
      size: z.int().min(0),
      channels: z.enum(['rgb', 'grey']),
      classes: z.enum(['none', 'folders']),
      captions: z.enum(['none', 'files']),
    }),
    z.strictObject({ ...pictureFields, kind: z.literal('images'), file: FileRefSchema }),
    z.strictObject({ ...datasetFields, kind: z.literal('latents'), file: FileRefSchema }),
  ]),
);

/** How the online flow is trained beside the student, and its weights once there are any. */
export const OnlineFlowSchema = linked(
  'ONLINE_FLOW',
  z.strictObject({
    type: z.literal('ONLINE_FLOW'),
    /** `modelKey` of the teacher that it was made for. */
    teacher: z.string(),
    options: z.strictObject({
      init: z.enum(['teacher', 'random']),
      updates: z.int().min(1),
      learningRate: z.number().positive(),
      density: TimeDensitySchema,
      lora: LoraConfigSchema.optional(),
      flowWeight: z.enum(FLOW_WEIGHTS).optional(),
      dropout: z.number().gt(0).lt(1).optional(),
      augment: z.number().gt(0).max(1).optional(),
    }),
    weights: ModelFileRefSchema.optional(),
  }),
);

/** stats.jsonl of a finished run: one event a line. */
export const FlowReportSchema = linked(
  'FLOW_REPORT',
  FileRefSchema.extend({ type: z.literal('FLOW_REPORT'), title: z.string() }),
);

function isFloatTensor(value: unknown): value is Tensor<'float32'> {
  if (typeof value !== 'object' || value === null) return false;
  const { dtype, shape, data } = value as Partial<Tensor>;
  return (
    dtype === 'float32' &&
    data instanceof Float32Array &&
    Array.isArray(shape) &&
    shape.every((d) => Number.isInteger(d) && d >= 0) &&
    sizeOf(shape) === data.length
  );
}

const FloatTensorSchema = z.custom<Tensor<'float32'>>(isFloatTensor, {
  error: 'must be a float32 tensor',
});

/** ComfyUI's IMAGE: [B, H, W, C] in [0, 1]. */
export const ImageSchema = linked(
  'IMAGE',
  FloatTensorSchema.refine((t) => t.shape.length === 4, { error: 'must have shape [B, H, W, C]' }),
);

/** Samples of one draw: more are drawn only to be thrown away. */
const LAST_INDEX = 65_535;

/**
 * ComfyUI's LATENT; keys that we do not know are kept, as its own nodes do. Samples that were taken out of a batch have their
 * places there as `batch_index`.
 */
export const LatentSchema = linked(
  'LATENT',
  z.looseObject({
    samples: FloatTensorSchema,
    batch_index: z.array(z.int().min(0).max(LAST_INDEX)).nullish(),
  }),
);

/** ComfyUI's CONDITIONING: texts as [tokens [B, L, W], options]; several entries are several texts. */
export const ConditioningSchema = linked(
  'CONDITIONING',
  z
    .array(
      z.tuple([
        FloatTensorSchema.refine((t) => t.shape.length === 3, {
          error: 'must have shape [B, L, W]',
        }),
        z.looseObject({ pooled_output: FloatTensorSchema.nullish() }),
      ]),
    )
    .min(1),
);

export type Conditioning = z.infer<typeof ConditioningSchema>;
export type FlowPromptsHandle = z.infer<typeof FlowPromptsSchema>;
export type FlowModelHandle = z.infer<typeof FlowModelSchema>;
export type FlowDatasetHandle = z.infer<typeof FlowDatasetSchema>;
export type OnlineFlowHandle = z.infer<typeof OnlineFlowSchema>;
export type FlowReportHandle = z.infer<typeof FlowReportSchema>;
export type Latent = z.infer<typeof LatentSchema>;
