/** @file A trained flow in memory and what its file says about it. */
import { z } from 'zod';
import { NetworkConfigSchema } from '../nn/config.ts';

/** How a student turns noise into a sample: x0 = z' - t* v(z', t*), z' = c_in z (design: 0 = data, 1 = noise). */
export const StudentSettingsSchema = z.strictObject({
  tStar: z.number().gt(0).max(1),
  cIn: z.number().gt(0),
});

export const ModelInfoSchema = z.strictObject({
  role: z.enum(['teacher', 'online', 'student']),
  network: NetworkConfigSchema,
  /** Present for students only. */
  student: StudentSettingsSchema.optional(),
  /** Name and hash of the data set that the teacher was trained on. */
  dataset: z.strictObject({ name: z.string(), hash: z.string() }),
  /** What trained it: seed, steps, options, hash of the teacher... shown in the model card. */
  training: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
});

export type ModelInfo = z.infer<typeof ModelInfoSchema>;

/** A network with its weights, one flat float32 vector in the order of the network's parameter list. */
export interface FlowModel {
  readonly info: ModelInfo;
  readonly parameters: Float32Array;
}
