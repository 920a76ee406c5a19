/** @file The options of every command that computes: on which device, with how many threads. */
import { type Command, Option } from 'commander';
import { engine } from '../trainer/runtime/engine.ts';
import { DEVICES, type Device } from '../trainer/runtime/library.ts';
import { wholeNumber } from './options.ts';

export interface EngineChoice {
  readonly device?: Device;
  readonly threads?: number;
}

/** Adds --device and --threads; they take effect before the command's action. */
export function addEngineOptions(command: Command): Command {
  const defaults = { device: 'cpu', threads: 'all processors' };
  return addEngineChoices(command, defaults).hook('preAction', (_, action) => {
    const { device, threads } = action.opts<EngineChoice>();
    if (device !== undefined || threads !== undefined) {
      engine({ ...(device && { device }), ...(threads && { threads }) });
    }
  });
}

/** Adds the options alone; `defaults` are words for the help. */
export function addEngineChoices(
  command: Command,
  defaults: { readonly device: string; readonly threads: string },
): Command {
  return command
    .addOption(
      new Option('--device <NAME>', `where to compute (default: ${defaults.device})`).choices(
        DEVICES,
      ),
    )
    .option(
      '--threads <N>',
      `threads that compute (default: ${defaults.threads})`,
      wholeNumber(1, 1024),
    );
}
