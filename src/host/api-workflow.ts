/** @file The form that ComfyUI executes ("Export (API)"): nodes by id, links as ["node id", slot]. */
import { z } from 'zod';

const ApiNodeSchema = z.looseObject({
  class_type: z.string().min(1),
  inputs: z.record(z.string(), z.unknown()).default({}),
  _meta: z.looseObject({ title: z.string().optional() }).optional(),
});

export const ApiWorkflowSchema = z.record(z.string(), ApiNodeSchema);
export type ApiWorkflow = z.infer<typeof ApiWorkflowSchema>;
