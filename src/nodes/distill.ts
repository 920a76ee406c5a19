/** @file FGM Distill: a one-step student from a flow of many steps. */
import { z } from 'zod';
import { FlowstepError } from '../errors.ts';
import { distill } from '../trainer/run/distill.ts';
import { loadModel } from '../trainer/run/model-file.ts';
import {
  densityInputs,
  loopOptions,
  runNameInput,
  seedInput,
  trainingInputs,
} from './common-inputs.ts';
import { defineNode } from './define-node.ts';
import { openTeacher } from './flow-models.ts';
import {
  type FlowModelHandle,
  FlowModelSchema,
  FlowReportSchema,
  type OnlineFlowHandle,
  OnlineFlowSchema,
} from './handles.ts';
import { openFile } from './root-files.ts';
import { createRun, recordRun, reportOf, requireFinished, storeModel } from './training-run.ts';

/** c_in as 0 stands for "equal to t*", which no valid value can mean. */
const CIN_AUTO = 0;

export const distillNode = defineNode({
  id: 'FlowstepDistill',
  displayName: 'FGM Distill',
  category: 'flowstep/training',
  description:
    'Distils a flow of many steps into a student that needs one network evaluation, by Flow Generator Matching.',
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
    t_star: z.number().min(0.01).max(1).default(0.97).meta({
      tooltip: 'Time at which the student looks at its input: near 1, as the input is pure noise.',
      step: 0.01,
    }),
    c_in: z.number().min(0).max(10).default(CIN_AUTO).meta({
      tooltip:
        'Factor on the noise before the student sees it; 0 = the same as t_star, as samplers of a graph do.',
      step: 0.01,
    }),
    ...densityInputs,
    seed: seedInput('Decides every random draw of the training.'),
    run_name: runNameInput('student'),
  }),
  outputs: {
    student: FlowModelSchema.meta({ tooltip: 'The one-step student, for One-Step Sampler.' }),
    online: OnlineFlowSchema.meta({ tooltip: 'The online flow with its weights, to go on from.' }),
    report: FlowReportSchema.meta({ tooltip: 'Losses and speed over the steps, for Loss Plot.' }),
  },
  async execute(inputs, context) {
    requireSameTeacher(inputs.teacher, inputs.online);
    const teacher = await openTeacher(inputs.teacher, context);
    const { weights } = inputs.online;
    const onlineModel = weights && (await loadModel(await openFile(context.roots, weights)));
    const options = loopOptions(inputs);
    const run = await createRun(context, inputs.run_name);
    const training = distill(
      {
        teacher,
        online: inputs.online.options,
        ...(onlineModel && { onlineModel }),
        ...options,
        lambda1: inputs.lambda1,
        tStar: inputs.t_star,
        cIn: inputs.c_in === CIN_AUTO ? inputs.t_star : inputs.c_in,
      },
      context.signal,
    );
    const trained = await recordRun(training, run, context);
    const student = await storeModel(run, 'student', trained.student, context);
    const online = await storeModel(run, 'online', trained.online, context);
    requireFinished(trained.outcome, run);
    return {
      outputs: {
        student: { type: 'FLOW_MODEL' as const, ...student },
        online: { ...inputs.online, weights: online },
        report: await reportOf(run, `FGM ${run.name}`, context),
      },
      files: [student.path, online.path],
    };
  },
});

/** An online flow that follows another teacher starts far from the student and the loss means nothing. */
function requireSameTeacher(teacher: FlowModelHandle, online: OnlineFlowHandle): void {
  if (teacher.sha256 === online.teacher) return;
  throw new FlowstepError('WORKFLOW_INVALID', 'the online flow was made for another teacher', {
    field: 'online',
    hint: 'Wire the same model into the "teacher" inputs of Online Flow and FGM Distill.',
  });
}
