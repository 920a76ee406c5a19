/** @file `flowstep plan`: memory and arithmetic of a distillation, before it is begun. */
import { totalmem } from 'node:os';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { FlowstepError } from '../errors.ts';
import { NETWORK_PRESET_NAMES, type NetworkPreset, networkFor } from '../nodes/network-presets.ts';
import type { Dataset } from '../trainer/data/dataset.ts';
import { type NetworkConfig, textWidths } from '../trainer/nn/config.ts';
import { LoraConfigSchema } from '../trainer/nn/lora.ts';
import { cardMemoryBytes } from '../trainer/run/card-memory.ts';
import { planDistillation, type TrainingPlan } from '../trainer/run/plan.ts';
import {
  atResolution,
  networkOfFile,
  RELEASED_NETWORKS,
  releasedNetwork,
} from '../trainer/run/plan-network.ts';
import { DEVICES, type Device } from '../trainer/runtime/library.ts';
import { answer, JSON_HELP } from './answer.ts';
import { examples, type Io } from './io.ts';
import { wholeNumber } from './options.ts';

interface PlanChoice {
  readonly model: string;
  readonly resolution?: number;
  readonly batch: number;
  readonly rank: number;
  readonly updates: number;
  readonly tokens: number;
  readonly cfg: boolean;
  readonly recompute: boolean;
  readonly device: Device;
  readonly memory?: number;
  readonly json?: true;
}

/** Tokens of ComfyUI's texts for Stable Diffusion 3: 77 of CLIP and as many of T5 at least. */
const USUAL_TOKENS = 154;

/** Pictures that presets are planned for unless a resolution is given. */
const USUAL_PIXELS = 32;

const GIB = 2 ** 30;

/** Adds the command to the program. */
export function addPlanCommand(program: Command, io: Io): void {
  const names = [...RELEASED_NETWORKS, ...NETWORK_PRESET_NAMES];
  program
    .command('plan')
    .description(
      'Tell what a distillation would take: parameters, memory, arithmetic, and whether it fits. No weight is read.',
    )
    .requiredOption('--model <NAME>', `a file of the teacher, or one of ${names.join(', ')}`)
    .option(
      '--resolution <PIXELS>',
      "side of the pictures (default: the model's own)",
      wholeNumber(1, 8192),
    )
    .option('--batch <N>', 'samples a step', wholeNumber(1, 65_536), 64)
    .option('--rank <N>', 'rank of LoRA; 0 = all weights', wholeNumber(0, 1024), 0)
    .option('--updates <K>', 'online updates per student update', wholeNumber(1, 1000), 1)
    .option('--tokens <N>', 'length of texts', wholeNumber(1, 4096), USUAL_TOKENS)
    .option('--cfg', 'the teacher runs under guidance, with and without its condition', false)
    .option('--recompute', "compute the network's blocks again instead of keeping them", false)
    .addOption(new Option('--device <NAME>', 'where to compute').choices(DEVICES).default('cpu'))
    .option(
      '--memory <GIB>',
      "memory that there is (default: this machine's, or the NVIDIA card's)",
      positiveNumber,
    )
    .option('--json', JSON_HELP)
    .addHelpText(
      'before',
      examples(
        'flowstep plan --model sd3.5-medium --resolution 512 --batch 4 --rank 16 --recompute',
        'flowstep plan --model models/fashion/teacher.safetensors --json',
      ),
    )
    .action((choice: PlanChoice) => answer(io, choice.json, () => plan(choice), planLines));
}

interface Answer extends TrainingPlan {
  readonly model: string;
  readonly batch: number;
  readonly recompute: boolean;
  readonly device: Device;
  /** Left out where nobody knows how much memory the device has. */
  readonly memory?: number;
  readonly fits?: boolean;
}

async function plan(choice: PlanChoice): Promise<Answer> {
  const { model, batch, rank, updates, cfg, recompute, device } = choice;
  const network = await networkOf(choice);
  const planned = planDistillation({
    network,
    batch,
    updates,
    tokens: textWidths(network)?.tokens || choice.tokens,
    ...(rank > 0 && { lora: LoraConfigSchema.parse({ rank, alpha: rank }) }),
    guided: cfg,
    recompute,
    isWhole: device !== 'cpu',
  });
  const memory = choice.memory === undefined ? memoryOf(device) : choice.memory * GIB;
  return {
    model,
    batch,
    recompute,
    device,
    ...planned,
    ...(memory !== undefined && { memory, fits: planned.bytes.peak <= memory }),
  };
}

/** Undefined where nobody knows. */
function memoryOf(device: Device): number | undefined {
  if (device === 'cpu') return totalmem();
  return device === 'cuda' ? cardMemoryBytes() : undefined;
}

async function networkOf({ model, resolution }: PlanChoice): Promise<NetworkConfig> {
  const isPreset = NETWORK_PRESET_NAMES.includes(model as NetworkPreset);
  if (isPreset) return presetNetwork(model as NetworkPreset, resolution ?? USUAL_PIXELS);
  const network = releasedNetwork(model) ?? (await networkOfFile(model));
  return resolution === undefined ? network : atResolution(network, resolution);
}

/** Data that presets are made for: colour pictures, else those that a preset is for alone. */
function presetNetwork(preset: NetworkPreset, pixels: number): NetworkConfig {
  const data = [
    { shape: [3, pixels, pixels], classes: 0 },
    { shape: [1, 28, 28], classes: 10 },
    { shape: [2], classes: 0 },
  ];
  let refusal: unknown;
  for (const kind of data) {
    const dataset: Dataset = { name: 'pictures', hash: '', ...kind, batch: noBatch };
    try {
      return networkFor(preset, dataset, { contextWidth: 384, pooledWidth: 384 });
    } catch (error) {
      refusal ??= error;
    }
  }
  throw refusal;
}

function noBatch(): never {
  throw new FlowstepError('INTERNAL', 'internal: a plan needs no data');
}

function planLines(plan: Answer): string[] {
  const { bytes, flops, memory, fits } = plan;
  const rows: [string, string][] = [
    ['model', plan.model],
    ['parameters', count(plan.parameters)],
    ['trained', `${count(plan.trained)} each of student and online flow`],
    ['batch', `${plan.batch}, worked off ${plan.microBatch} at a time`],
    ['teacher', gib(bytes.teacher)],
    ['state', gib(bytes.state)],
    ['activations', `${gib(bytes.activations)}${plan.recompute ? ', with recompute' : ''}`],
    ['programs', gib(bytes.programs)],
    ['process', gib(bytes.process)],
    ['peak', gib(bytes.peak)],
    ['iteration', `${figure(flops.iteration / 1e12)} TFLOP`],
    ['sample', `${figure(flops.sample / 1e12)} TFLOP, one step`],
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  const lines = rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`);
  return [...lines, `${'fits'.padEnd(width)}  ${fitting(plan.device, memory, fits)}`];
}

function fitting(device: Device, memory: number | undefined, fits: boolean | undefined): string {
  if (memory === undefined) return `unknown: say with --memory how much the ${device} device has`;
  return `${fits ? 'yes' : 'no'}, there are ${gib(memory)}`;
}

const gib = (bytes: number) => `${figure(bytes / GIB)} GiB`;
const count = (n: number) => (n < 1e6 ? String(n) : `${figure(n / 1e6)} million`);
/** Three figures: more than an estimate is sure of. */
const figure = (value: number) => Number(value.toPrecision(3)).toString();

function positiveNumber(text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidArgumentError('It must be a number above 0.');
  return value;
}
