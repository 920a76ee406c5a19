/** @file Where a test has WebGPU, and the processes that train on it. */
import { fileURLToPath } from 'node:url';
import { printed } from '../../bench/printed.ts';
import type { BenchConfig } from '../../src/trainer/run/benchmark.ts';

/** Why there is no WebGPU, as scripts/software-vulkan.sh says; undefined where there is one. */
export const NO_WEBGPU = process.env['FLOWSTEP_NO_VULKAN'];

export interface TrainingTask {
  readonly device: 'cpu' | 'webgpu';
  readonly config: BenchConfig;
  /** Classes that the network is told; default 0. */
  readonly classes?: number;
  readonly steps: number;
  readonly rate: number;
  /** Default: yes, on WebGPU. */
  readonly capture?: boolean;
  /** Also times the training of a teacher of the same network, of no classes. */
  readonly teaches?: boolean;
  /** A folder for runs: trains once to the end and once with a stop on the way. */
  readonly resumeIn?: string;
}

/** Milliseconds, after the tenth step. */
export interface Spread {
  readonly median: number;
  readonly least: number;
}

export interface StepTimes {
  /** For which the host is busy with starting each program. */
  readonly startMs: Readonly<Record<string, Spread>>;
  /** The same for all programs of a step. */
  readonly hostMs: Spread;
  /** Median of whole steps. */
  readonly stepMs: number;
}

export interface Training extends StepTimes {
  /** Metrics of each step. */
  readonly curve: readonly Readonly<Record<string, number>>[];
  /** Samples of the averaged weights, from the same noise. */
  readonly samples: readonly number[];
  /** Hash of all state vectors. */
  readonly state: string;
  /** Resident memory after the tenth step and after the last. */
  readonly residentBytes: readonly [number, number];
  /** Handles that are held after the tenth step, after the last, and after everything is disposed of. */
  readonly handles: readonly [number, number, number];
  /** Hashes of the students and online flows of a run that was stopped and of one that was not. */
  readonly resumed?: readonly [string, string];
  /** Samples of the teacher by Heun's method. */
  readonly teacher: readonly number[];
  /** Of training a teacher by flow matching, where that is asked for. */
  readonly teaching?: StepTimes;
}

const WORKER = fileURLToPath(new URL('./training-worker.ts', import.meta.url));

/** Trains in a process of its own, as one process has one device. */
export function trained(task: TrainingTask): Promise<Training> {
  return printed(process.execPath, ['--import', 'tsx', WORKER, JSON.stringify(task)]);
}
