/** @file The workflow that runs a LoRA student by ComfyUI's own nodes: KSampler where its times are those of a scheduler, its times by hand elsewhere. */
import { studentGrid } from '../trainer/flow/grid.ts';
import type { MmditConfig } from '../trainer/nn/config.ts';
import type { StudentSettings } from '../trainer/run/model.ts';
import { type SketchOutput, WorkflowSketch } from './workflow-sketch.ts';

export interface LoraWorkflow {
  readonly title: string;
  readonly network: MmditConfig;
  readonly student: StudentSettings;
  readonly base: {
    /** As ComfyUI's loaders name it. */
    readonly name: string;
    /** The file also holds what is beside the network: text encoders and decoder. */
    readonly isCheckpoint: boolean;
  };
  /** In their order, the student last. */
  readonly loras: readonly { readonly name: string; readonly strength: number }[];
}

/** Pixels of a picture's side for each of its latent's. */
const PIXELS = 8;

/** Times are told apart to this; ComfyUI computes them in float32. */
const TIME_GAP = 1e-6;

/** ModelSamplingSD3 takes hundredths. */
const SHIFT_STEPS = 100;

const WIDTH = 330;

/** From the left edge of a column of nodes to that of the next. */
const COLUMN = WIDTH + 60;

/** From a LoRA's upper edge to that of the next. */
const LORA_ROW = 140;

const PROMPT = 'a red fox in the snow';

/** The file's JSON, for ComfyUI's front end. */
export function loraWorkflow(wanted: LoraWorkflow) {
  const sketch = new WorkflowSketch();
  const { student, loras } = wanted;
  const row = 180 + LORA_ROW * loras.length;
  const shift = simpleShift(student.grid);
  sketch.add({
    type: 'MarkdownNote',
    title: 'About',
    at: [0, -240],
    size: [2 * WIDTH, 180],
    values: [noteOf(wanted, shift)],
  });
  const { model, clip, vae } = addBase(sketch, wanted.base, row);
  const adapted = addLoras(sketch, model, loras);
  const prompt = sketch.add({
    type: 'CLIPTextEncode',
    title: 'Prompt',
    at: [COLUMN, row],
    size: [WIDTH, 160],
    inputs: [['clip', 'CLIP', clip]],
    outputs: [['CONDITIONING', 'CONDITIONING']],
    values: [PROMPT],
  });
  const empty = sketch.add({
    type: 'EmptySD3LatentImage',
    at: [COLUMN, row + 220],
    size: [WIDTH, 106],
    outputs: [['LATENT', 'LATENT']],
    values: [PIXELS * wanted.network.width, PIXELS * wanted.network.height, 1],
  });
  const source = { model: adapted, positive: prompt(), latent: empty() };
  const latent =
    shift === undefined
      ? addTimesByHand(sketch, source, student)
      : addKSampler(sketch, source, student, shift);
  const picture = sketch.add({
    type: 'VAEDecode',
    at: [4 * COLUMN, 20],
    size: [WIDTH, 46],
    inputs: [
      ['samples', 'LATENT', latent],
      ['vae', 'VAE', vae],
    ],
    outputs: [['IMAGE', 'IMAGE']],
  });
  sketch.add({
    type: 'SaveImage',
    at: [5 * COLUMN, 20],
    size: [WIDTH, 380],
    inputs: [['images', 'IMAGE', picture()]],
    values: ['flowstep'],
  });
  return sketch.json();
}

/**
 * The shift at which ComfyUI's scheduler `simple` gives the times of a student; undefined when there is none. Of one step
 * at t = 1 that is any: the usual one.
 */
export function simpleShift(grid: readonly number[]): number | undefined {
  const [first, second] = grid;
  if (first !== 1) return undefined;
  if (second === undefined) return 3;
  const [, t] = studentGrid(1, grid.length, 1) as [number, number];
  const exact = (second * (1 - t)) / (t * (1 - second));
  const shift = Math.round(exact * SHIFT_STEPS) / SHIFT_STEPS;
  const simple = studentGrid(1, grid.length, shift);
  const isSimple = grid.every((time, k) => Math.abs(time - simple[k]!) < TIME_GAP);
  return isSimple ? shift : undefined;
}

interface Source {
  readonly model: SketchOutput;
  readonly positive: SketchOutput;
  readonly latent: SketchOutput;
}

function addBase(
  sketch: WorkflowSketch,
  { name, isCheckpoint }: LoraWorkflow['base'],
  row: number,
) {
  if (isCheckpoint) {
    const loader = sketch.add({
      type: 'CheckpointLoaderSimple',
      at: [0, 20],
      size: [WIDTH, 98],
      outputs: [
        ['MODEL', 'MODEL'],
        ['CLIP', 'CLIP'],
        ['VAE', 'VAE'],
      ],
      values: [name],
    });
    return { model: loader(0), clip: loader(1), vae: loader(2) };
  }
  const loader = sketch.add({
    type: 'UNETLoader',
    at: [0, 20],
    size: [WIDTH, 82],
    outputs: [['MODEL', 'MODEL']],
    values: [name, 'default'],
  });
  const encoders = sketch.add({
    type: 'TripleCLIPLoader',
    at: [0, row],
    size: [WIDTH, 106],
    outputs: [['CLIP', 'CLIP']],
    values: ['clip_l.safetensors', 'clip_g.safetensors', 't5xxl_fp16.safetensors'],
  });
  const decoder = sketch.add({
    type: 'VAELoader',
    at: [3 * COLUMN, 360],
    size: [WIDTH, 58],
    outputs: [['VAE', 'VAE']],
    values: ['sd3_vae.safetensors'],
  });
  return { model: loader(), clip: encoders(), vae: decoder() };
}

function addLoras(
  sketch: WorkflowSketch,
  base: SketchOutput,
  loras: LoraWorkflow['loras'],
): SketchOutput {
  let model = base;
  for (const [i, { name, strength }] of loras.entries()) {
    const loader = sketch.add({
      type: 'LoraLoaderModelOnly',
      at: [COLUMN, 20 + LORA_ROW * i],
      size: [WIDTH, 82],
      inputs: [['model', 'MODEL', model]],
      outputs: [['MODEL', 'MODEL']],
      values: [name, strength],
    });
    model = loader();
  }
  return model;
}

/** Fresh noise between steps is what ComfyUI's sampler `lcm` adds. */
const samplerOf = ({ transition, grid }: StudentSettings) =>
  transition === 'fresh' && grid.length > 1 ? 'lcm' : 'euler';

function addKSampler(
  sketch: WorkflowSketch,
  { model, positive, latent }: Source,
  student: StudentSettings,
  shift: number,
): SketchOutput {
  const shifted = sketch.add({
    type: 'ModelSamplingSD3',
    at: [2 * COLUMN, 20],
    size: [WIDTH, 58],
    inputs: [['model', 'MODEL', model]],
    outputs: [['MODEL', 'MODEL']],
    values: [shift],
  });
  const negative = sketch.add({
    type: 'ConditioningZeroOut',
    at: [2 * COLUMN, 320],
    size: [WIDTH, 26],
    inputs: [['conditioning', 'CONDITIONING', positive]],
    outputs: [['CONDITIONING', 'CONDITIONING']],
  });
  const sampler = sketch.add({
    type: 'KSampler',
    at: [3 * COLUMN, 20],
    size: [WIDTH, 262],
    inputs: [
      ['model', 'MODEL', shifted()],
      ['positive', 'CONDITIONING', positive],
      ['negative', 'CONDITIONING', negative()],
      ['latent_image', 'LATENT', latent],
    ],
    outputs: [['LATENT', 'LATENT']],
    values: [0, 'randomize', student.grid.length, 1, samplerOf(student), 'simple', 1],
  });
  return sampler();
}

function addTimesByHand(
  sketch: WorkflowSketch,
  { model, positive, latent }: Source,
  student: StudentSettings,
): SketchOutput {
  const guider = sketch.add({
    type: 'BasicGuider',
    at: [2 * COLUMN, 20],
    size: [WIDTH, 46],
    inputs: [
      ['model', 'MODEL', model],
      ['conditioning', 'CONDITIONING', positive],
    ],
    outputs: [['GUIDER', 'GUIDER']],
  });
  const noise = sketch.add({
    type: 'RandomNoise',
    at: [2 * COLUMN, 126],
    size: [WIDTH, 82],
    outputs: [['NOISE', 'NOISE']],
    values: [0, 'randomize'],
  });
  const method = sketch.add({
    type: 'KSamplerSelect',
    at: [2 * COLUMN, 268],
    size: [WIDTH, 58],
    outputs: [['SAMPLER', 'SAMPLER']],
    values: [samplerOf(student)],
  });
  const sigmas = sketch.add({
    type: 'ManualSigmas',
    at: [2 * COLUMN, 386],
    size: [WIDTH, 58],
    outputs: [['SIGMAS', 'SIGMAS']],
    values: [[...student.grid, 0].map(plainNumber).join(', ')],
  });
  const sampler = sketch.add({
    type: 'SamplerCustomAdvanced',
    at: [3 * COLUMN, 20],
    size: [WIDTH, 106],
    inputs: [
      ['noise', 'NOISE', noise()],
      ['guider', 'GUIDER', guider()],
      ['sampler', 'SAMPLER', method()],
      ['sigmas', 'SIGMAS', sigmas()],
      ['latent_image', 'LATENT', latent],
    ],
    outputs: [
      ['output', 'LATENT'],
      ['denoised_output', 'LATENT'],
    ],
  });
  return sampler();
}

/** ManualSigmas reads no exponents; more digits than float32 has are no use. */
const plainNumber = (t: number) => String(Number(t.toFixed(8)));

function noteOf({ title, student, loras }: LoraWorkflow, shift: number | undefined): string {
  const steps = student.grid.length === 1 ? 'one step' : `${student.grid.length} steps`;
  const how =
    shift === undefined
      ? 'It looks at the times in **ManualSigmas** and no others'
      : 'It is made for these steps, this scheduler and this shift';
  const file = loras.at(-1)!.name;
  return `## ${title}\nThe LoRA makes pictures in ${steps}. ${how}; guidance is built in, so **cfg stays 1** and the negative prompt is not used.\n\nWhere **${file}** is not among the LoRAs, copy it to ComfyUI's \`models/loras\` and press R.`;
}
