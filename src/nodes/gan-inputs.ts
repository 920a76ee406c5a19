/** @file Inputs of a distillation with a discriminator. */
import { z } from 'zod';
import { FlowstepError } from '../errors.ts';
import { GAN_HEADS } from '../trainer/methods/gan.ts';
import type { GanOptions } from '../trainer/run/distill-job.ts';
import { openDataset } from './datasets.ts';
import type { FlowDatasetHandle } from './handles.ts';
import type { NodeContext } from './node-context.ts';

export const ganInputs = {
  gan_weight: z.number().min(0).max(1000).default(0).meta({
    tooltip:
      'Weight of a discriminator in the loss of the student, for fine detail, such as 0.4; 0 = none. It needs a data set, and a student that is past its worst.',
    step: 0.1,
  }),
  gan_discriminator_weight: z.number().min(0).max(1000).default(1).meta({
    advanced: true,
    tooltip: "Weight of the discriminator's loss beside the online flow's.",
    step: 0.1,
  }),
  gan_head: z.enum(GAN_HEADS).default('channels').meta({
    advanced: true,
    tooltip:
      'What the discriminator makes of the features of the online flow: channels, a logit for each, without weights (SiD2A); linear, one logit, a weighted sum of them (RealUID); dense, one logit, by a hidden layer over the features of the teacher at all places.',
  }),
  gan_start: z.int().min(0).max(100_000_000).default(0).meta({
    advanced: true,
    tooltip: 'Steps before the discriminator begins: the student should be past its worst by then.',
    step: 1,
  }),
};

type GanInputs = z.infer<z.ZodObject<typeof ganInputs>> & {
  readonly dataset?: FlowDatasetHandle | undefined;
};

/** The discriminator that the inputs ask for; throws WORKFLOW_INVALID when it has no data. */
export async function readGanInputs(
  inputs: GanInputs,
  context: NodeContext,
): Promise<GanOptions | undefined> {
  if (inputs.gan_weight === 0) return undefined;
  if (!inputs.dataset) {
    throw new FlowstepError('WORKFLOW_INVALID', 'gan_weight above 0 needs data to compare with', {
      field: 'dataset',
      hint: "Connect Flow Dataset (real pictures, or the teacher's samples through its image input) or give --dataset, or set gan_weight to 0.",
    });
  }
  return {
    dataset: await openDataset(inputs.dataset, context),
    weight: inputs.gan_weight,
    discriminatorWeight: inputs.gan_discriminator_weight,
    head: inputs.gan_head,
    start: inputs.gan_start,
  };
}
