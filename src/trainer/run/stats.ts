/** @file stats.jsonl of a run: a JSON line for each recorded step. */
import { type FileHandle, open, readFile } from 'node:fs/promises';
import { z } from 'zod';
import { FlowstepError } from '../../errors.ts';

/** Small networks make thousands of steps a second; a write for each would slow them down. */
const WRITE_EVERY_MS = 500;

const LineSchema = z.object({
  step: z.int().min(0),
  /** A metric that was not finite has become null in JSON. */
  metrics: z.record(z.string(), z.number().nullable()),
});

export type StatsLine = z.infer<typeof LineSchema>;

/** Collects lines and writes them a few times a second, and before each checkpoint; a killed process loses no more. */
export class StatsWriter implements AsyncDisposable {
  readonly #path: string;
  readonly #file: FileHandle;
  #waiting: string[] = [];
  #written = performance.now();

  private constructor(path: string, file: FileHandle) {
    this.#path = path;
    this.#file = file;
  }

  /** Goes on after the line of `lastStep`; what follows it is cut off, also a last line that was not finished. */
  static async open(path: string, lastStep: number): Promise<StatsWriter> {
    try {
      const file = await open(path, 'a+');
      const bytes = await file.readFile();
      const end = endOfStep(bytes, lastStep);
      if (end < bytes.length) await file.truncate(end);
      return new StatsWriter(path, file);
    } catch (error) {
      throw unwritable(path, error);
    }
  }

  async write(step: number, metrics: Readonly<Record<string, number>>): Promise<void> {
    this.#waiting.push(`${JSON.stringify({ step, metrics })}\n`);
    if (performance.now() - this.#written >= WRITE_EVERY_MS) await this.flush();
  }

  async flush(): Promise<void> {
    const lines = this.#waiting.join('');
    this.#waiting = [];
    this.#written = performance.now();
    if (lines === '') return;
    try {
      await this.#file.appendFile(lines);
    } catch (error) {
      throw unwritable(this.#path, error);
    }
  }

  /** Writes what it can; call `flush` to know. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.flush().catch(() => undefined);
    await this.#file.close().catch(() => undefined);
  }
}

/** The lines up to that of `lastStep`. */
export function linesUntil(bytes: Buffer, lastStep: number): Buffer {
  return bytes.subarray(0, endOfStep(bytes, lastStep));
}

/** Where the lines up to `lastStep` end, in bytes. */
function endOfStep(bytes: Buffer, lastStep: number): number {
  let end = 0;
  for (;;) {
    const newline = bytes.indexOf(0x0a, end);
    if (newline < 0) return end;
    const step = stepOf(bytes.toString('utf8', end, newline));
    if (step === undefined || step > lastStep) return end;
    end = newline + 1;
  }
}

function stepOf(line: string): number | undefined {
  return parseLine(line)?.step;
}

function parseLine(line: string): StatsLine | undefined {
  try {
    return LineSchema.parse(JSON.parse(line));
  } catch {
    return undefined;
  }
}

/** The recorded steps of a run, in order. A last line without its end, as a killed process leaves it, is not one. */
export async function readStats(path: string): Promise<StatsLine[]> {
  const text = await readFile(path, 'utf8');
  const lines = text.slice(0, text.lastIndexOf('\n') + 1).split('\n');
  return lines.slice(0, -1).map((line, i) => {
    const parsed = parseLine(line);
    if (parsed) return parsed;
    throw new FlowstepError('FILE_FORMAT', `line ${i + 1} of ${path} is not a step of a run`, {
      file: path,
      hint: 'The file is damaged: resume the run, which cuts it at the last good step, or train again.',
    });
  });
}

function unwritable(path: string, cause: unknown): FlowstepError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new FlowstepError('FILE_UNWRITABLE', `${path}: cannot be written (${why})`, {
    file: path,
    hint: 'Check that the folder may be written and has room, then resume the run.',
    cause,
  });
}
