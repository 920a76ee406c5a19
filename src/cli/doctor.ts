/** @file `flowstep doctor`: whether this installation works, and what to do where it does not. */
import { type Command, Option } from 'commander';
import { readRoots } from '../config.ts';
import type { Check } from '../host/check.ts';
import { doctor } from '../host/doctor.ts';
import { nvidiaDriver } from '../host/doctor-devices.ts';
import { installCuda } from '../host/install-cuda.ts';
import { tryDevice } from '../trainer/run/device-trial.ts';
import { DEVICES, type Device } from '../trainer/runtime/library.ts';
import { answer, JSON_HELP, printJson } from './answer.ts';
import { examples, type Io } from './io.ts';
import { probeDevice } from './probe.ts';
import { CommandFailed } from './report-error.ts';

interface Options {
  readonly json?: boolean;
  readonly probe?: Device;
  readonly install?: 'cuda';
}

/** Adds the command to the program. */
export function addDoctorCommand(program: Command, io: Io): void {
  program
    .command('doctor')
    .description('Check that this installation works: libraries, devices, folders, data.')
    .option('--json', JSON_HELP)
    .addOption(
      new Option(
        '--install <WHAT>',
        "download ONNX Runtime for NVIDIA cards into Flowstep's own folder first",
      ).choices(['cuda']),
    )
    .addOption(new Option('--probe <DEVICE>', 'test one device').choices(DEVICES).hideHelp())
    .addHelpText(
      'before',
      examples('flowstep doctor', 'flowstep doctor --json', 'flowstep doctor --install cuda'),
    )
    .action(({ json, probe, install }: Options) =>
      probe === undefined
        ? examine(json, install, io)
        : answer(
            io,
            true,
            () => tryDevice(probe),
            () => [],
          ),
    );
}

async function examine(json: boolean | undefined, install: 'cuda' | undefined, io: Io) {
  const { environment } = io;
  if (install) {
    const { library, wheels } = await installCuda({
      environment,
      say: (line) => io.log.line(line),
    });
    io.log.line(
      wheels.length > 0 ? `installed ${library}` : `${library} and all it needs is there`,
    );
  }
  const checks = await doctor({
    roots: readRoots(environment),
    environment,
    probe: probeDevice,
    nvidiaDriver: nvidiaDriver(),
  });
  const isOk = checks.every(({ status }) => status !== 'problem');
  if (json) printJson(io, { ok: isOk, checks });
  else for (const check of checks) io.stdout.write(`${checkText(check)}\n`);
  if (!isOk) throw new CommandFailed();
}

/** A check as people read it. */
export function checkText({ name, status, message, hint }: Check): string {
  const line = `${status.padEnd(7)}  ${name.padEnd(13)}  ${message.trim()}`;
  return hint === undefined ? line : `${line}\n${' '.repeat(24)}${hint}`;
}
