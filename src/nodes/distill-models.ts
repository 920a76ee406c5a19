/** @file The models that FGM Distill starts from, and what it makes of them. */
import { FlowstepError } from '../errors.ts';
import { canonicalJson } from '../trainer/files/canonical-json.ts';
import { withLora } from '../trainer/run/lora-model.ts';
import type { FlowModel, StudentSettings } from '../trainer/run/model.ts';
import { loadModel } from '../trainer/run/model-file.ts';
import { modelKey, openModel } from './flow-models.ts';
import type { FlowModelHandle, OnlineFlowHandle } from './handles.ts';
import { fittedToPixels } from './model-size.ts';
import type { NodeContext } from './node-context.ts';
import { type FileRef, openModelFile } from './root-files.ts';

/** The online flow's weights from an earlier run. */
export async function onlineModelOf(
  { weights, options }: OnlineFlowHandle,
  teacher: FlowModel,
  context: NodeContext,
): Promise<FlowModel | undefined> {
  if (!weights) return undefined;
  const file = await openModelFile(context.roots, weights);
  return options.lora ? withLora(teacher, file, 1) : loadModel(file);
}

/** A student to go on with; throws MODEL_INVALID when it is none. */
export async function studentModelOf(
  {
    student,
    width,
    height,
  }: { student?: FlowModelHandle | undefined; width: number; height: number },
  context: NodeContext,
): Promise<FlowModel | undefined> {
  if (!student) return undefined;
  const model = await openModel(student, context);
  if (model.info.role === 'student') return fittedToPixels(model, width, height);
  throw new FlowstepError(
    'MODEL_INVALID',
    `${student.path} is a ${model.info.role}, not a student`,
    {
      field: 'student',
      hint: 'Connect the student of an earlier FGM Distill, or nothing to start from the teacher.',
    },
  );
}

/** Other settings than before are no error: a student of one step may learn to make four. */
export function tellOtherSettings(
  before: FlowModel | undefined,
  settings: StudentSettings,
  context: NodeContext,
): void {
  const was = before?.info.student;
  if (!was || canonicalJson(was) === canonicalJson(settings)) return;
  context.onNotice?.(
    `the student was made for t* ${was.tStar}, c_in ${was.cIn} and ${was.grid.length} step(s); it goes on with t* ${settings.tStar}, c_in ${settings.cIn} and ${settings.grid.length}`,
  );
}

/** A LoRA is nothing without its base, so its file says which one that is. */
export function baseNamed({ info, ...weights }: FlowModel, file: string): FlowModel {
  if (!info.lora) return { info, ...weights };
  return { info: { ...info, lora: { ...info.lora, file } }, ...weights };
}

export function withLastLora(
  { loras = [], ...base }: FlowModelHandle,
  file: FileRef,
): FlowModelHandle {
  return { ...base, loras: [...loras, { file, strength: 1 }] };
}

/** An online flow that follows another teacher starts far from the student and the loss means nothing. */
export function requireSameTeacher(teacher: FlowModelHandle, online: OnlineFlowHandle): void {
  if (modelKey(teacher) === online.teacher) return;
  throw new FlowstepError('WORKFLOW_INVALID', 'the online flow was made for another teacher', {
    field: 'online',
    hint: 'Wire the same model into the "teacher" inputs of Online Flow and FGM Distill.',
  });
}
