/** @file FGM Distill: a one-step student from a flow of many steps. */
import { z } from 'zod';
import { FlowstepError } from '../errors.ts';
import { VELOCITY_WEIGHTS } from '../trainer/methods/fgm.ts';
import { usesRealData } from '../trainer/methods/real-data.ts';
import type { LoraConfig } from '../trainer/nn/lora.ts';
import { latestTime } from '../trainer/nn/network.ts';
import type { DistillJob, RealData } from '../trainer/run/distill-job.ts';
import { Distiller } from '../trainer/run/distiller.ts';
import { withMemoryAdvice } from '../trainer/run/memory-advice.ts';
import {
  type FlowModel,
  MAX_STUDENT_STEPS,
  studentSettings,
  TRANSITIONS,
} from '../trainer/run/model.ts';
import { whole } from '../trainer/runtime/whole.ts';
import {
  densityInputs,
  loopOptions,
  loraInputs,
  readLoraInputs,
  recomputeInput,
  runInputs,
  seedInput,
  trainingInputs,
} from './common-inputs.ts';
import { openDataset, openPromptSet } from './datasets.ts';
import { defineNode } from './define-node.ts';
import {
  baseNamed,
  onlineModelOf,
  requireSameTeacher,
  studentModelOf,
  tellOtherSettings,
  withLastLora,
} from './distill-models.ts';
import { openTeacher } from './flow-models.ts';
import { ganInputs, readGanInputs } from './gan-inputs.ts';
import { cfgTMaxInput, latestGuided } from './guidance-inputs.ts';
import {
  type FlowDatasetHandle,
  FlowDatasetSchema,
  FlowModelSchema,
  FlowPromptsSchema,
  FlowReportSchema,
  OnlineFlowSchema,
} from './handles.ts';
import { fittedToPixels } from './model-size.ts';
import type { NodeContext } from './node-context.ts';
import { evaluationFingerprint, evaluationInputs, openEvaluation } from './training-evaluation.ts';
import { runTraining } from './training-run.ts';

/** t* as 0 stands for the usual one of the network. */
const T_STAR_AUTO = 0;

/** c_in as 0 stands for "equal to t*", which no valid value can mean. */
const CIN_AUTO = 0;

const ID = 'FlowstepDistill';

export const distillNode = defineNode({
  id: ID,
  displayName: 'FGM Distill',
  category: 'flowstep/training',
  description:
    'Distils a flow of many steps into a student that needs one network evaluation, by Flow Generator Matching.',
  searchAliases: [
    'distillation',
    'one-step',
    'few step',
    'turbo',
    'step distillation',
    'train lora',
    'DMD',
    'SiD',
    'consistency',
  ],
  outputNode: true,
  inputs: z.object({
    teacher: FlowModelSchema.meta({ tooltip: 'The flow to distil.' }),
    online: OnlineFlowSchema.meta({
      tooltip: 'From Online Flow, or from an earlier FGM Distill to go on with its weights.',
    }),
    ...trainingInputs({ steps: 2000, batch: 64, learningRate: 1e-4, warmup: 100, emaDecay: 0.995 }),
    lambda1: z.number().min(-10).max(10).default(0).meta({
      tooltip:
        "Weight of |u - v|^2 in the loss: 0 leaves the paper's L2 alone, its choice for pictures and the steadier one; 1 is the full loss.",
      step: 0.05,
    }),
    t_star: z.number().min(0).max(1).default(T_STAR_AUTO).meta({
      tooltip:
        'Time at which the student looks at its input, noise scaled to it. Pictures come sooner at 0.714, as in SiD. 0 = 1 for Stable Diffusion 3 and LoRA, which samplers of a graph then run in one step, and 0.97 for others.',
      step: 0.01,
    }),
    c_in: z.number().min(0).max(10).default(CIN_AUTO).meta({
      advanced: true,
      tooltip:
        'Factor on the noise before the student sees it; 0 = the same as t_star, as samplers of a graph do.',
      step: 0.01,
    }),
    weight: z.enum(VELOCITY_WEIGHTS).default('velocity').meta({
      advanced: true,
      tooltip:
        'Weight of the loss over time: velocity 1, as in the paper; x0 t^2; sid t^2 / mean |x0 - D_u|; sid-dit t^2 (1 - t).',
    }),
    student_steps: z.int().min(1).max(MAX_STUDENT_STEPS).default(1).meta({
      tooltip: 'Network evaluations of a sample: 1, or up to 4 for more detail.',
      step: 1,
    }),
    shift: z.number().min(0.01).max(100).default(1).meta({
      advanced: true,
      tooltip: "Of the times of several steps, as in ComfyUI's ModelSamplingSD3: SD3 uses 3.",
      step: 0.1,
    }),
    transition: z.enum(TRANSITIONS).default('euler').meta({
      advanced: true,
      tooltip:
        'Between steps: an Euler step along the flow, or a guess of the sample with fresh noise.',
    }),
    real_alpha: z.number().min(0.01).max(1).default(1).meta({
      advanced: true,
      tooltip:
        "RealUID's alpha, not SiD's: below 1 the online flow also learns from real data. 1 = no real data.",
      step: 0.01,
    }),
    real_beta: z.number().min(0.01).max(1).default(1).meta({
      advanced: true,
      tooltip: "RealUID's beta; a little above or below real_alpha. 1 with real_alpha 1.",
      step: 0.01,
    }),
    ...densityInputs,
    seed: seedInput('Decides every random draw of the training.', 'fixed'),
    ...runInputs,
    dataset: FlowDatasetSchema.optional().meta({
      tooltip:
        'Real data, used when real_alpha is below 1 or gan_weight above 0, and for evaluations.',
    }),
    prompts: FlowPromptsSchema.optional().meta({
      tooltip: 'For models that take text: what the student learns to make.',
    }),
    cfg: z.number().min(1).max(100).default(1).meta({
      tooltip:
        "Classifier-free guidance of the teacher, which the student then has built in; 1 = none, Stable Diffusion 3's usual is 4.5.",
      step: 0.1,
    }),
    online_cfg: z.number().min(1).max(100).default(1).meta({
      advanced: true,
      tooltip:
        'Guidance under which the online flow is trained and used (long and short guidance); 1 = none, or the same as cfg.',
      step: 0.1,
    }),
    ...loraInputs,
    width: sizeInput('Width'),
    height: sizeInput('Height'),
    ...ganInputs,
    ...recomputeInput,
    student_init: z.enum(['teacher', 'random']).default('teacher').meta({
      advanced: true,
      tooltip:
        "First weights of the student: the teacher's (usual), or random ones, which need far more steps. A LoRA is fresh either way.",
    }),
    ...evaluationInputs,
    student: FlowModelSchema.optional().meta({
      tooltip:
        'A student to go on with, from an earlier FGM Distill: with real data or a discriminator, say. Left out, student_init decides.',
    }),
    beta1: z.number().min(0).max(0.999).default(0).meta({
      advanced: true,
      tooltip:
        "Adam's decay of the first moment, for student and online flow. 0 is what every recipe uses: momentum can break their alternation.",
      step: 0.05,
    }),
    ...cfgTMaxInput,
  }),
  outputs: {
    student: FlowModelSchema.meta({ tooltip: 'The one-step student, for One-Step Sampler.' }),
    online: OnlineFlowSchema.meta({ tooltip: 'The online flow with its weights, to go on from.' }),
    report: FlowReportSchema.meta({ tooltip: 'Losses and speed over the steps, for Loss Plot.' }),
  },
  fingerprint: evaluationFingerprint,
  async execute(inputs, context) {
    requireSameTeacher(inputs.teacher, inputs.online);
    const opened = await openTeacher(inputs.teacher, context);
    const teacher = fittedToPixels(opened, inputs.width, inputs.height);
    const onlineModel = await onlineModelOf(inputs.online, teacher, context);
    const studentModel = await studentModelOf(inputs, context);
    const realData = await realDataOf(inputs, context);
    const gan = await readGanInputs(inputs, context);
    const prompts = await openPromptSet(inputs.prompts, context);
    const lora = readLoraInputs(inputs);
    const named = (model: FlowModel) => baseNamed(model, inputs.teacher.path);
    using evaluation = await openEvaluation(
      inputs,
      {
        network: teacher.info.network,
        dataset: await realSetOf(inputs, context),
        prompts,
        named,
      },
      context,
    );
    const tStar = inputs.t_star === T_STAR_AUTO ? usualTStar(teacher, lora) : inputs.t_star;
    const { cfg, online_cfg, cfg_t_max } = inputs;
    const student = studentSettings({
      tStar,
      cIn: inputs.c_in === CIN_AUTO ? tStar : inputs.c_in,
      steps: inputs.student_steps,
      shift: inputs.shift,
      transition: inputs.transition,
    });
    tellOtherSettings(studentModel, student, context);
    const job: DistillJob = {
      teacher,
      online: inputs.online.options,
      ...(onlineModel && { onlineModel }),
      ...(studentModel && { studentModel }),
      ...loopOptions(inputs),
      lambda1: inputs.lambda1,
      weight: inputs.weight,
      student,
      studentInit: inputs.student_init,
      beta1: inputs.beta1,
      ...(lora && { lora }),
      ...(prompts && { prompts }),
      ...((cfg > 1 || online_cfg > 1) && {
        guidance: {
          teacher: cfg,
          online: online_cfg,
          ...latestGuided(cfg_t_max),
        },
      }),
      ...(realData && { realData }),
      ...(gan && { gan }),
    };
    const { name, models, stats, files } = await withMemoryAdvice(job, () => {
      const distiller = whole(() => new Distiller(job));
      const names = ['student', 'online'] as const;
      const wanted = {
        kind: 'student' as const,
        node: ID,
        inputs,
        models: names,
        evaluation,
        named,
      };
      return runTraining(distiller, wanted, context);
    });
    return {
      outputs: {
        student: lora
          ? withLastLora(inputs.teacher, models.student)
          : { type: 'FLOW_MODEL' as const, ...models.student },
        online: { ...inputs.online, weights: models.online },
        report: { type: 'FLOW_REPORT' as const, title: `FGM ${name}`, ...stats },
      },
      files,
    };
  },
});

/** Latents of open size alone have one to choose. */
function sizeInput(side: string) {
  return z
    .int()
    .min(0)
    .max(8192)
    .default(0)
    .meta({
      tooltip: `${side} in pixels of the pictures to train on, for Stable Diffusion 3: smaller is faster and takes less memory; 0 = 1024.`,
      step: 16,
    });
}

/** Samplers of a graph begin at t = 1, which LoRAs and Stable Diffusion 3 are made for; the paper's t* is 0.97. */
function usualTStar({ info }: FlowModel, lora: LoraConfig | undefined): number {
  const latest = latestTime(info.network);
  return lora || info.network.kind === 'mmdit' ? latest : Math.min(0.97, latest);
}

/** What evaluations compare with where no other data is connected. */
async function realSetOf(
  { dataset, evaluate_every }: { dataset?: FlowDatasetHandle | undefined; evaluate_every: number },
  context: NodeContext,
) {
  return dataset && evaluate_every > 0 ? openDataset(dataset, context) : undefined;
}

async function realDataOf(
  inputs: {
    real_alpha: number;
    real_beta: number;
    lambda1: number;
    gan_weight: number;
    evaluate_every: number;
    dataset?: FlowDatasetHandle | undefined;
  },
  context: NodeContext,
): Promise<RealData | undefined> {
  const weights = { realAlpha: inputs.real_alpha, realBeta: inputs.real_beta };
  if (!usesRealData(weights)) {
    if (inputs.dataset && inputs.gan_weight === 0 && inputs.evaluate_every === 0) {
      context.onNotice?.('the data set is not used, as real_alpha is 1 and gan_weight 0');
    }
    return undefined;
  }
  if (inputs.lambda1 !== 1) {
    context.onNotice?.(
      `lambda1 is ${inputs.lambda1}: the real-data term belongs to the full loss, lambda1 1`,
    );
  }
  if (inputs.dataset) return { ...weights, dataset: await openDataset(inputs.dataset, context) };
  throw new FlowstepError('WORKFLOW_INVALID', 'real_alpha below 1 needs real data', {
    field: 'dataset',
    hint: 'Connect Flow Dataset (or give --dataset), or set real_alpha and real_beta to 1.',
  });
}
