/** @file Inputs that several nodes share, each with its bounds and its tooltip written once. */
import { z } from 'zod';
import type { SEED_CONTROLS } from '../bridge/protocol/node-definition.ts';
import { FlowstepError } from '../errors.ts';
import { type TimeDensity, TimeDensitySchema } from '../trainer/flow/density.ts';
import { LoraConfigSchema } from '../trainer/nn/lora.ts';
import type { LoopOptions } from '../trainer/run/loop-options.ts';
import { RESUME_POLICIES } from '../trainer/run/run-folder.ts';

/** JavaScript numbers are exact up to here; a larger seed would silently become another one. */
const MAX_SEED = Number.MAX_SAFE_INTEGER;

/** `control`: what becomes of the seed after a run; another seed is another training run, which starts from nothing. */
export function seedInput(tooltip: string, control: (typeof SEED_CONTROLS)[number], seed = 0) {
  return z
    .int()
    .min(0)
    .max(MAX_SEED)
    .default(seed)
    .meta({ tooltip, controlAfterGenerate: control });
}

export function learningRateInput(value: number, tooltip: string) {
  return z.number().min(1e-8).max(1).default(value).meta({ tooltip, step: 1e-5 });
}

/** Where a run is kept and how it goes on. */
export const runInputs = {
  // A folder name, not a path: a workflow must not write where it likes.
  run_name: z
    .string()
    .regex(/^(?:(?!\.{1,2}$)[A-Za-z0-9._-]{1,64})?$/, {
      error: 'must be a plain name: letters, digits, dot, dash, underscore; at most 64',
    })
    .default('')
    .meta({
      tooltip:
        'Folder below runs/ in the output folder. Empty = a name made of the settings: ' +
        'the same settings go on with the same run, others start one of their own.',
    }),
  resume: z
    .enum(RESUME_POLICIES)
    .default('auto')
    .meta({
      tooltip:
        'auto: go on with the run of this name and these settings where it stopped, or start it; ' +
        'must: only go on; never: only start.',
    }),
  checkpoint_every: z.int().min(0).max(100_000_000).default(500).meta({
    advanced: true,
    tooltip:
      'Steps between checkpoints, of which there is one every ten minutes too; 0 = only when the run ends or is stopped.',
    step: 1,
  }),
  keep_checkpoints: z
    .int()
    .min(1)
    .max(1000)
    .default(3)
    .meta({ advanced: true, tooltip: 'How many of the newest checkpoints are kept.', step: 1 }),
  sample_every: z.int().min(0).max(100_000_000).default(500).meta({
    tooltip: 'Steps between sample pictures, all from the same noise; 0 = none.',
    step: 1,
  }),
};

export type RunInputs = z.infer<z.ZodObject<typeof runInputs>>;

/** Inputs of every training loop. */
export function trainingInputs(defaults: {
  steps: number;
  batch: number;
  learningRate: number;
  warmup: number;
  emaDecay: number;
}) {
  return {
    steps: z.int().min(1).max(100_000_000).default(defaults.steps).meta({
      tooltip: 'Optimizer steps in all.',
      step: 1,
    }),
    batch: z.int().min(1).max(65_536).default(defaults.batch).meta({
      tooltip: 'Samples per step. Larger is steadier, slower and takes more memory.',
      step: 1,
    }),
    learning_rate: learningRateInput(
      defaults.learningRate,
      "Adam's learning rate at its highest point.",
    ),
    warmup: z.int().min(0).max(1_000_000).default(defaults.warmup).meta({
      advanced: true,
      tooltip: 'Steps over which the learning rate rises from 0.',
      step: 1,
    }),
    schedule: z.enum(['constant', 'linear', 'cosine']).default('constant').meta({
      advanced: true,
      tooltip:
        'How the learning rate goes on after the warm-up: stays, or falls to 0 at the last step.',
    }),
    ema_decay: z.number().min(0).max(0.99999).default(defaults.emaDecay).meta({
      advanced: true,
      tooltip: 'The saved weights are a moving average over steps; 0 saves the last step as it is.',
      step: 0.0001,
    }),
    clip_norm: z.number().min(0).max(1e6).default(0).meta({
      advanced: true,
      tooltip: 'Longest gradient that is not shortened; 0 shortens none.',
      step: 0.1,
    }),
    clip_value: z.number().min(0).max(1e6).default(0).meta({
      advanced: true,
      tooltip: 'Largest size of an element of the gradient, after clip_norm; 0 = any.',
      step: 0.1,
    }),
  };
}

/** Less memory for more time. */
export const recomputeInput = {
  recompute: z.boolean().default(false).meta({
    tooltip:
      "Keep only the borders of the network's blocks and compute what is between them again: far less memory for a quarter more time, the same result to rounding.",
  }),
};

/** Inputs that say at which times t (0 = data, 1 = noise) a velocity is learned. */
export const densityInputs = {
  density: z.enum(['uniform', 'logit-normal', 'edm-schedule']).default('uniform').meta({
    tooltip:
      "How training times are drawn: evenly; mostly in the middle as SD3 does, which is also EDM's log-normal density of noise; or evenly over EDM's sampling schedule.",
  }),
  t_min: z
    .number()
    .min(0)
    .max(1)
    .default(0.02)
    .meta({ advanced: true, tooltip: 'Least training time; 0 is data.', step: 0.01 }),
  t_max: z
    .number()
    .min(0)
    .max(1)
    .default(0.98)
    .meta({ advanced: true, tooltip: 'Greatest training time; 1 is noise.', step: 0.01 }),
  logit_mean: z.number().min(-10).max(10).default(0).meta({
    advanced: true,
    tooltip: 'Centre of the logit-normal density: above 0 leans to noise, below 0 to data.',
    step: 0.1,
  }),
  logit_std: z
    .number()
    .min(0.01)
    .max(10)
    .default(1)
    .meta({ advanced: true, tooltip: 'Width of the logit-normal density.', step: 0.1 }),
};

/** Whether a network learns through adapters, and which. */
export const loraInputs = {
  lora_rank: z.int().min(0).max(1024).default(0).meta({
    tooltip:
      "Learn a LoRA of this rank on the teacher's weights instead of all weights: far less memory; 0 = all weights.",
    step: 1,
  }),
  lora_alpha: z.number().min(0).max(4096).default(0).meta({
    advanced: true,
    tooltip: 'Scale of the LoRA is alpha / rank; 0 = alpha is the rank.',
    step: 1,
  }),
  lora_targets: z.string().default('').meta({
    advanced: true,
    tooltip:
      'Layers that get adapters, by the ends of their names, separated by commas; empty = attention and feed-forward (qkv, proj, fc1, fc2).',
  }),
};

/** The adapters that the inputs ask for. */
export function readLoraInputs(inputs: z.infer<z.ZodObject<typeof loraInputs>>) {
  const { lora_rank: rank, lora_alpha: alpha, lora_targets } = inputs;
  if (rank === 0) return undefined;
  const targets = lora_targets
    .split(',')
    .map((name) => name.trim())
    .filter(Boolean);
  return LoraConfigSchema.parse({
    rank,
    alpha: alpha === 0 ? rank : alpha,
    ...(targets.length > 0 && { targets }),
  });
}

type LoopValues = z.infer<z.ZodObject<ReturnType<typeof trainingInputs>>> &
  DensityValues & { seed: number; recompute: boolean };

/** What `trainingInputs`, `densityInputs` and the seed tell a training loop. */
export function loopOptions(inputs: LoopValues): LoopOptions {
  return {
    steps: inputs.steps,
    batch: inputs.batch,
    learningRate: inputs.learning_rate,
    warmup: inputs.warmup,
    schedule: inputs.schedule,
    emaDecay: inputs.ema_decay,
    clipNorm: inputs.clip_norm,
    clipValue: inputs.clip_value,
    density: readDensity(inputs),
    seed: inputs.seed,
    recompute: inputs.recompute,
  };
}

interface DensityValues {
  density: TimeDensity['kind'];
  t_min: number;
  t_max: number;
  logit_mean: number;
  logit_std: number;
}

/** The density that the inputs describe. */
export function readDensity(inputs: DensityValues): TimeDensity {
  const range = { min: inputs.t_min, max: inputs.t_max };
  const density: TimeDensity =
    inputs.density === 'logit-normal'
      ? { kind: 'logit-normal', mean: inputs.logit_mean, std: inputs.logit_std, ...range }
      : { kind: inputs.density, ...range };
  if (TimeDensitySchema.safeParse(density).success) return density;
  throw new FlowstepError(
    'VALUE_OUT_OF_RANGE',
    `training times cannot go from ${range.min} to ${range.max}`,
    { field: 't_min', hint: 't_min must be below t_max, and t_max below 1 for edm-schedule.' },
  );
}
