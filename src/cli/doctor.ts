/** @file `flowstep doctor`: whether this installation works, and what to do where it does not. */
import { spawn } from 'node:child_process';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Command, Option } from 'commander';
import { z } from 'zod';
import { readRoots } from '../config.ts';
import { FlowstepError } from '../errors.ts';
import { type Check, doctor } from '../host/doctor.ts';
import { DEVICES, type Device } from '../trainer/runtime/library.ts';
import { type SelfTest, selfTest } from '../trainer/runtime/self-test.ts';
import { answer, JSON_HELP, printJson } from './answer.ts';
import { examples, type Io } from './io.ts';
import { CommandFailed } from './report-error.ts';

interface Options {
  readonly json?: boolean;
  readonly probe?: Device;
}

/** Compiling shaders for the first time can take half of this. */
const PROBE_TIMEOUT_MS = 60_000;

/** Adds the command to the program. */
export function addDoctorCommand(program: Command, io: Io): void {
  program
    .command('doctor')
    .description('Check that this installation works: libraries, devices, folders, data.')
    .option('--json', JSON_HELP)
    .addOption(new Option('--probe <DEVICE>', 'test one device').choices(DEVICES).hideHelp())
    .addHelpText('before', examples('flowstep doctor', 'flowstep doctor --json'))
    .action(({ json, probe }: Options) =>
      probe === undefined
        ? examine(json, io)
        : answer(
            io,
            true,
            () => selfTest(probe),
            () => [],
          ),
    );
}

async function examine(json: boolean | undefined, io: Io): Promise<void> {
  const { environment } = io;
  const checks = await doctor({ roots: readRoots(environment), environment, probe: probeDevice });
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

const AnswerSchema = z.discriminatedUnion('ok', [
  z.object({
    ok: z.literal(true),
    library: z.string(),
    version: z.string(),
    threads: z.number(),
    runMs: z.number(),
  }),
  z.object({
    ok: z.literal(false),
    error: z.object({ message: z.string(), hint: z.string().optional() }),
  }),
]);

/** The self test in a process of its own: a driver may crash it, and a process has one engine. */
async function probeDevice(device: Device): Promise<SelfTest> {
  const main = new URL(`../main${extname(fileURLToPath(import.meta.url))}`, import.meta.url);
  const args = [...process.execArgv, fileURLToPath(main), 'doctor', '--probe', device];
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'pipe', 'ignore'],
    timeout: PROBE_TIMEOUT_MS,
  });
  let stdout = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  const how = await new Promise<string>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve(signal ?? `exit code ${code}`));
  });
  const found = AnswerSchema.safeParse(parseJson(stdout));
  if (!found.success) {
    throw new FlowstepError('DEVICE_UNAVAILABLE', `the test of ${device} ended with ${how}`, {
      hint: 'The graphics driver or the library is broken: update it, or use --device cpu.',
    });
  }
  if (found.data.ok) return found.data;
  const { message, hint } = found.data.error;
  throw new FlowstepError('DEVICE_UNAVAILABLE', message, hint === undefined ? {} : { hint });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
