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
  return command
    .addOption(new Option('--device <NAME>', 'where to compute (default: cpu)').choices(DEVICES))
    .option('--threads <N>', 'threads that compute (default: all processors)', wholeNumber(1, 1024))
    .hook('preAction', (_, action) => {
      const { device, threads } = action.opts<EngineChoice>();
      if (device !== undefined || threads !== undefined) {
        engine({ ...(device && { device }), ...(threads && { threads }) });
      }
    });
}
