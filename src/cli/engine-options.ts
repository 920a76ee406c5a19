/** @file The options of every command that computes: on which device, with how many threads. */
import { type Command, Option } from 'commander';
import { chooseDevice } from '../host/choose-device.ts';
import { engine } from '../trainer/runtime/engine.ts';
import { DEVICES, type Device } from '../trainer/runtime/library.ts';
import {
  type ComputeOptions,
  computeOptions,
  PRECISIONS,
  type PrecisionName,
} from '../trainer/runtime/providers.ts';
import { realNumber, wholeNumber } from './options.ts';
import { probeDevice } from './probe.ts';

/** `auto` is one of the others, chosen by trying. */
export type DeviceName = Device | 'auto';

export interface EngineChoice {
  readonly device?: DeviceName;
  readonly threads?: number;
  readonly precision?: PrecisionName;
  /** GiB. */
  readonly gpuMemory?: number;
}

export interface ChosenDevice {
  readonly device: Device;
  /** Of `auto`: why it is this one. */
  readonly why?: string;
}

const GIB = 2 ** 30;
/** More than any card has. */
const MAX_GPU_GIB = 4096;

/** The device unless another is given. */
const USUAL = 'cpu';

/** Adds --device and --threads; they take effect before the command's action. */
export function addEngineOptions(command: Command): Command {
  const defaults = { device: USUAL, threads: 'all processors' };
  return addEngineChoices(command, defaults).hook('preAction', async (_, action) => {
    await startEngine(action, USUAL);
  });
}

/** Starts the engine as the command's options say, unless they say nothing but what is usual; gives its device. */
export async function startEngine(command: Command, usual: DeviceName): Promise<ChosenDevice> {
  const choice = command.opts<EngineChoice>();
  const chosen = await resolveDevice(choice.device ?? usual, command);
  const { device } = chosen;
  const { threads } = choice;
  const options = settingsOf(device, choice);
  const isUsual = device === 'cpu' && threads === undefined && options.precision === 'float32';
  if (!isUsual) engine({ device, ...(threads && { threads }), ...options });
  return chosen;
}

/** Precision and limits of an engine on the device; throws USAGE for those that it does not have. */
export function settingsOf(device: Device, { precision, gpuMemory }: EngineChoice): ComputeOptions {
  const memoryLimit = gpuMemory === undefined ? undefined : gpuMemory * GIB;
  return computeOptions(device, { precision, memoryLimit });
}

/** What `auto` stands for here, with the reason on stderr; other names are themselves. */
export async function resolveDevice(device: DeviceName, command: Command): Promise<ChosenDevice> {
  if (device !== 'auto') return { device };
  const chosen = await chooseDevice(probeDevice);
  command.configureOutput().writeErr?.(`${deviceText(chosen)}\n`);
  return chosen;
}

/** One line for people. */
export function deviceText({ device, why }: ChosenDevice): string {
  return why === undefined ? `device ${device}` : `device ${device}: ${why}`;
}

/** Adds the options alone; `defaults` are words for the help. */
export function addEngineChoices(
  command: Command,
  defaults: { readonly device: string; readonly threads: string },
): Command {
  return command
    .addOption(
      new Option('--device <NAME>', `where to compute (default: ${defaults.device})`).choices([
        'auto',
        ...DEVICES,
      ]),
    )
    .option(
      '--threads <N>',
      `threads that compute (default: ${defaults.threads})`,
      wholeNumber(1, 1024),
    )
    .addOption(
      new Option(
        '--precision <KIND>',
        'numbers in products; others than fp32 have fewer digits, and are faster on CUDA (default: fp32)',
      ).choices(PRECISIONS),
    )
    .option(
      '--gpu-memory <GIB>',
      "most of the card's memory that is taken, on CUDA (default: all that is free)",
      realNumber(0.1, MAX_GPU_GIB),
    );
}
