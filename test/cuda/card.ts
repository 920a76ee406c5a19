/** @file The stand-in for a card (scripts/stand-in-cuda.sh): what it was asked for, and the processes that ask. */
import { fileURLToPath } from 'node:url';
import koffi from 'koffi';
import { printed } from '../../bench/printed.ts';
import type { BenchConfig } from '../../src/trainer/run/benchmark.ts';
import type { PrecisionName } from '../../src/trainer/runtime/providers.ts';

/** Why there is none, as scripts/stand-in-cuda.sh says; undefined where there is one. */
export const NO_CUDA = process.env['FLOWSTEP_NO_CUDA'];

export interface Asked {
  /** By name: `kernel NAME`, `copy up`, `wait`, ...; `recorded: ` before what was recorded. */
  readonly counts: ReadonlyMap<string, number>;
  /** Of the card's memory, now and at most since the last reset. */
  readonly bytes: number;
  readonly mostBytes: number;
  /** That have asked for something since the last reset. */
  readonly threads: number;
}

const REPORT_BYTES = 4 << 20;

/** The stand-in in this process. */
export class Card {
  readonly #reset: () => void;
  readonly #report: (out: Buffer, size: number) => bigint | number;
  readonly #setMemory: (bytes: number) => void;

  constructor() {
    const library = koffi.load('libcudart.so.13', { global: true });
    this.#reset = library.func('void card_reset()');
    this.#report = library.func('long card_report(_Out_ void *, long)');
    this.#setMemory = library.func('void card_memory(double)');
  }

  /** Forgets what was asked for. */
  reset(): void {
    this.#reset();
  }

  /** How much memory the card has from now on. */
  setMemory(bytes: number): void {
    this.#setMemory(bytes);
  }

  asked(): Asked {
    const text = Buffer.alloc(REPORT_BYTES);
    const length = Number(this.#report(text, text.length));
    const lines = text.toString('utf8', 0, length).trimEnd().split('\n');
    const counts = new Map(
      lines.map((line) => {
        const space = line.indexOf(' ');
        return [line.slice(space + 1), Number(line.slice(0, space))];
      }),
    );
    const taken = (name: string) => {
      const number = counts.get(name) ?? 0;
      counts.delete(name);
      return number;
    };
    const bytes = taken('bytes held');
    const mostBytes = taken('most bytes held');
    return { bytes, mostBytes, threads: taken('threads'), counts };
  }
}

/** Sum of the counts whose names begin so. */
export function sumOf({ counts }: Pick<Asked, 'counts'>, ...starts: readonly string[]): number {
  let sum = 0;
  for (const [name, count] of counts) {
    if (starts.some((start) => name.startsWith(start))) sum += count;
  }
  return sum;
}

export interface LaunchTask {
  readonly config: BenchConfig;
  readonly precision: PrecisionName;
  /** CUDA graphs: programs are recorded and replayed. */
  readonly graphs: boolean;
  /** Default: that of the configuration. */
  readonly batch?: number;
  readonly steps: number;
}

/** What a program asks for in a run. */
export interface Launches {
  /** ONNX Runtime's own kernels, products by cuBLAS, convolutions and sums by cuDNN. */
  readonly kernels: number;
  readonly products: number;
  readonly byCudnn: number;
  readonly copiesOnCard: number;
  /** Copies from the host's memory or to it. */
  readonly copiesOfHost: number;
  readonly replays: number;
  /** Median milliseconds until the program is handed over, with a card that takes no time. */
  readonly hostMs: number;
}

export interface LaunchResult {
  /** By program: the same in each step after the second. */
  readonly programs: Readonly<Record<string, Launches>>;
  /** What was recorded, whenever that was. */
  readonly recorded: { readonly times: number; readonly copiesOfHost: number };
  readonly threads: number;
  readonly mostBytes: number;
}

const WORKER = fileURLToPath(new URL('./launch-worker.ts', import.meta.url));

/** Distils in a process of its own, with no operator left to the processor. */
export function launches(task: LaunchTask): Promise<LaunchResult> {
  return printed(process.execPath, ['--import', 'tsx', WORKER, JSON.stringify(task)]);
}
