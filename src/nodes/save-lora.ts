/** @file A LoRA student as a file for ComfyUI's own samplers, with the workflow that runs it beside it. */
import { FlowstepError } from '../errors.ts';
import { atomicWrite } from '../trainer/files/atomic-write.ts';
import { SafetensorsFile } from '../trainer/files/safetensors.ts';
import { recogniseSd3 } from '../trainer/files/sd3-checkpoint.ts';
import { SD3_CHANNELS } from '../trainer/flow/sd3-latent.ts';
import type { MmditConfig } from '../trainer/nn/config.ts';
import type { FlowModel, StudentSettings } from '../trainer/run/model.ts';
import { type SaveOptions, saveModel } from '../trainer/run/model-file.ts';
import { modelTitle } from '../trainer/run/model-words.ts';
import type { FlowModelHandle } from './handles.ts';
import { loraWorkflow } from './lora-workflow.ts';
import type { NodeContext } from './node-context.ts';
import { freeNames, writeNew } from './output-files.ts';
import { openFile } from './root-files.ts';

/** Below the output folder: ComfyUI's LoRA loaders look there. */
const FOLDER = 'loras/';

/** Folders below the output folder in which ComfyUI's loaders look, and name files from there. */
const LOADERS = ['loras/', 'checkpoints/', 'diffusion_models/'];

/** Writes PREFIX_00001_.safetensors with its card, and PREFIX_00001_.json; throws MODEL_INVALID for what ComfyUI cannot run. */
export async function saveLora(
  model: FlowModel,
  handle: FlowModelHandle,
  prefix: string,
  options: SaveOptions,
  context: NodeContext,
): Promise<{ readonly path: string; readonly files: readonly string[] }> {
  const { network, student } = requireForComfyUi(model);
  const { output } = context.roots;
  const name = prefix.startsWith(FOLDER) ? prefix : FOLDER + prefix;
  const base = await openFile(context.roots, handle);
  // The last one is the student itself, and its strength is in what is saved.
  const before = (handle.loras ?? []).slice(0, -1);
  const isCheckpoint = await holdsMore(base);
  const workflowWith = (path: string) =>
    loraWorkflow({
      title: modelTitle(model.info),
      network,
      student,
      base: { name: loaderName(handle), isCheckpoint },
      loras: [
        ...before.map(({ file, strength }) => ({ name: loaderName(file), strength })),
        { name: loaderName({ root: 'output', path }), strength: 1 },
      ],
    });
  return writeNew(await freeNames(output, name, 'safetensors'), async ({ file, path }) => {
    await saveModel(file, model, { ...options, replace: false });
    const ending = /\.safetensors$/;
    const text = `${JSON.stringify(workflowWith(path), null, 2)}\n`;
    await atomicWrite(file.replace(ending, '.json'), [new TextEncoder().encode(text)]);
    return { path, files: [path, path.replace(ending, '.json')] };
  });
}

/** What is needed of a model that ComfyUI is to run. */
function requireForComfyUi({ info, adapters }: FlowModel): {
  network: MmditConfig;
  student: StudentSettings;
} {
  const { network, student } = info;
  if (network.kind !== 'mmdit' || network.channels !== SD3_CHANNELS) {
    throw invalid(
      `a ${network.kind} is no Stable Diffusion 3, the one network of ours that ComfyUI has too`,
      'Save it as safetensors; One-Step Sampler runs it.',
    );
  }
  if (!adapters || !student) {
    throw invalid(
      `the model is ${student ? 'a student with weights of its own' : `a ${info.role}`}, no LoRA`,
      'Set lora_rank in FGM Distill to train a LoRA, or save the model as safetensors.',
    );
  }
  if (student.cIn === student.tStar) return { network, student };
  throw invalid(
    `ComfyUI's samplers start from t* times the noise: from ${student.tStar}, and the student from c_in ${student.cIn}`,
    'Distil with c_in 0, which is the same as t_star; One-Step Sampler runs this one.',
  );
}

function invalid(problem: string, hint: string): FlowstepError {
  return new FlowstepError('MODEL_INVALID', `this cannot be a ComfyUI LoRA: ${problem}`, {
    field: 'format',
    hint,
  });
}

/** True for checkpoints with text encoders and decoder, whose network has a prefix. */
async function holdsMore(path: string): Promise<boolean> {
  await using file = await SafetensorsFile.open(path);
  return recogniseSd3(path, file.header).prefix !== '';
}

function loaderName({ root, path }: { readonly root: string; readonly path: string }): string {
  const folder = root === 'output' ? LOADERS.find((start) => path.startsWith(start)) : undefined;
  return folder ? path.slice(folder.length) : path;
}
