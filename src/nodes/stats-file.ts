/** @file stats.jsonl of a run: one JSON line per event. */
import { type FileHandle, open, readFile } from 'node:fs/promises';
import { z } from 'zod';
import { FlowstepError } from '../errors.ts';
import type { TrainEvent } from '../trainer/run/events.ts';

/** Small networks make thousands of steps a second; a write for each would slow them down. */
const WRITE_EVERY_MS = 500;

/** Collects lines and writes them a few times a second; a killed process loses no more than that. */
export class StatsWriter implements AsyncDisposable {
  readonly #file: FileHandle;
  #waiting: string[] = [];
  #written = performance.now();

  private constructor(file: FileHandle) {
    this.#file = file;
  }

  static async open(path: string): Promise<StatsWriter> {
    return new StatsWriter(await open(path, 'wx'));
  }

  async write(event: TrainEvent): Promise<void> {
    this.#waiting.push(`${JSON.stringify(event)}\n`);
    if (performance.now() - this.#written >= WRITE_EVERY_MS) await this.#flush();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.#flush();
    } finally {
      await this.#file.close();
    }
  }

  async #flush(): Promise<void> {
    const lines = this.#waiting.join('');
    this.#waiting = [];
    this.#written = performance.now();
    if (lines !== '') await this.#file.appendFile(lines);
  }
}

/** A metric that was not finite has become null in JSON. */
const StatsLineSchema = z.object({
  step: z.int().min(0),
  metrics: z.record(z.string(), z.number().nullable()),
});

export type StatsLine = z.infer<typeof StatsLineSchema>;

/** One entry per event of the run, in order. */
export async function readStats(file: string): Promise<StatsLine[]> {
  const lines = (await readFile(file, 'utf8')).split('\n').filter((line) => line !== '');
  return lines.map((line, i) => {
    try {
      return StatsLineSchema.parse(JSON.parse(line));
    } catch (cause) {
      throw new FlowstepError('FILE_FORMAT', `line ${i + 1} of ${file} is not an event of a run`, {
        file,
        hint: 'Run the training again; its statistics file is damaged.',
        cause,
      });
    }
  });
}
