/** @file The form that ComfyUI executes ("Export (API)"): nodes by id, links as ["node id", slot]. */
import { z } from 'zod';
import { FlowstepError } from '../errors.ts';

const ApiNodeSchema = z.looseObject({
  class_type: z.string().min(1),
  inputs: z.record(z.string(), z.unknown()).default({}),
  _meta: z.looseObject({ title: z.string().optional() }).optional(),
});

const ApiWorkflowSchema = z.record(z.string(), ApiNodeSchema);
export type ApiWorkflow = z.infer<typeof ApiWorkflowSchema>;

/** Checks parsed JSON; throws WORKFLOW_INVALID with every issue. `file` is for messages. */
export function readApiWorkflow(json: unknown, file: string): ApiWorkflow {
  const parsed = ApiWorkflowSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  throw new FlowstepError('WORKFLOW_INVALID', `${file} is not a workflow`, {
    file,
    issues: parsed.error.issues.map((issue) => ({
      message: `${issue.path.join('.') || 'the file'}: ${issue.message}`,
    })),
    hint: 'Save it from ComfyUI with Export or Export (API).',
  });
}
