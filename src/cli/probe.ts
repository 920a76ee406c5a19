/** @file Tries a device in a process of its own: a driver may crash it, and a process has one engine. */
import { spawn } from 'node:child_process';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { FlowstepError } from '../errors.ts';
import type { DeviceTrial } from '../trainer/run/device-trial.ts';
import type { Device } from '../trainer/runtime/library.ts';

/** Compiling shaders for the first time can take half of this. */
const PROBE_TIMEOUT_MS = 60_000;

const AnswerSchema = z.discriminatedUnion('ok', [
  z.object({
    ok: z.literal(true),
    library: z.string(),
    version: z.string(),
    threads: z.number(),
    providers: z.array(z.string()),
    runMs: z.number(),
    productMs: z.number(),
    figures: z.array(z.number()),
  }),
  z.object({
    ok: z.literal(false),
    error: z.object({ message: z.string(), hint: z.string().optional() }),
  }),
]);

/** Throws DEVICE_UNAVAILABLE with what the process said, or how it ended. */
export async function probeDevice(device: Device): Promise<DeviceTrial> {
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
