/** @file The workflow that makes the pictures of `flowstep sample` again: they carry it, as those of Save Image do. */
import { loadModelNode } from '../nodes/load-model.ts';
import type { Roots, RunningWorkflow } from '../nodes/node-context.ts';
import { oneStepSamplerNode } from '../nodes/one-step-sampler.ts';
import { pictureGridNode } from '../nodes/picture-grid.ts';
import { promptSetNode } from '../nodes/prompt-set.ts';
import { MAX_SAMPLES } from '../nodes/sampler-inputs.ts';
import { saveImageNode } from '../nodes/save-image.ts';
import { teacherSamplerNode } from '../nodes/teacher-sampler.ts';
import { knownSha256 } from '../trainer/files/known-hash.ts';
import type { Solver } from '../trainer/run/sample-request.ts';
import { adoptPaths } from './adopt-paths.ts';
import type { Io } from './io.ts';
import { nameModels } from './model-names.ts';
import { apiOf, outputName, type PlannedNode, rootsOf } from './training.ts';

export interface SampledPictures {
  /** Files that exist. */
  readonly model: string;
  readonly lora: string | undefined;
  readonly strength: number | undefined;
  readonly prompts: string | undefined;
  readonly solver: Solver;
  readonly steps: number;
  readonly seed: number;
  readonly count: number;
  readonly label: number | undefined;
  readonly cfg: number;
  readonly cfgTMax: number;
  /** All in one picture, side by side. */
  readonly isGrid: boolean;
}

/** Output `image` of both samplers. */
const IMAGE_SLOT = 1;

/** Undefined, with a message, for more samples than a sampler node draws. Tells of folders that running it needs. */
export async function sampleWorkflow(
  sampled: SampledPictures,
  io: Io,
): Promise<RunningWorkflow | undefined> {
  if (sampled.count > MAX_SAMPLES) {
    io.log.line(`pictures of more than ${MAX_SAMPLES} samples carry no workflow`);
    return undefined;
  }
  const { model, lora, strength } = sampled;
  const before = rootsOf({}, io);
  const { names, roots } = nameModels({ model, ...(lora !== undefined && { lora }) }, before);
  const prompts = namePrompts(sampled.prompts, before);
  tellFolder(io, before.models, roots.models, 'FLOWSTEP_MODELS');
  tellFolder(io, before.data, prompts.data, 'FLOWSTEP_DATA');
  const { lora: loraName = '', model: file } = names;
  const loader: PlannedNode = {
    node: loadModelNode,
    values: {
      file,
      sha256: await knownSha256(model),
      lora: loraName,
      strength: strength ?? 1,
    },
  };
  const grid = sampled.isGrid
    ? [{ node: pictureGridNode, values: { images: ['2', IMAGE_SLOT], columns: 0 } }]
    : [];
  const images = sampled.isGrid ? ['3', 0] : ['2', IMAGE_SLOT];
  const saver = { node: saveImageNode, values: { images, filename_prefix: 'samples' } };
  const shown = [...grid, saver];
  const links = prompts.node && { prompts: [String(3 + shown.length), 0] };
  const sampler = samplerOf(sampled, { model: ['1', 0], ...links });
  const plan = [loader, sampler, ...shown, ...(prompts.node ? [prompts.node] : [])];
  return { prompt: apiOf(plan) };
}

function samplerOf(sampled: SampledPictures, links: Readonly<Record<string, unknown>>) {
  const { solver, steps, seed, count, label = -1, cfg, cfgTMax } = sampled;
  const values = { ...links, seed, count, label, steps };
  return solver === 'one-step'
    ? { node: oneStepSamplerNode, values }
    : { node: teacherSamplerNode, values: { ...values, solver, cfg, cfg_t_max: cfgTMax } };
}

/** Flow Prompt Set looks below the data folder, then below the output folder. */
function namePrompts(
  file: string | undefined,
  before: Roots,
): { readonly node?: PlannedNode; readonly data: string } {
  if (file === undefined) return { data: before.data };
  const kept = outputName(file, before);
  const { roots, paths } = adoptPaths(before, 'data', kept === undefined ? { file } : {});
  return {
    node: { node: promptSetNode, values: { file: kept ?? paths['file'] } },
    data: roots.data,
  };
}

function tellFolder(io: Io, before: string, now: string, variable: string): void {
  if (before === now) return;
  io.log.line(`to run the workflow that the picture carries, set ${variable} to ${now}`);
}
