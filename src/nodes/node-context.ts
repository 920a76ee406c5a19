/** @file What a node may use while it runs: folders, progress and cancellation. Nothing of any host's own. */
import { FlowstepError } from '../errors.ts';
import type { StepEvent } from '../trainer/run/events.ts';

/** The folders that nodes may touch, by name; handles name files relative to one of them. */
export interface Roots {
  /** Model files that the user brought. Read only. */
  readonly models: string;
  /** Folders where a model is looked for when `models` does not have it, in order. Read only. */
  readonly moreModels?: readonly string[];
  /** Everything that nodes write, trained models included. */
  readonly output: string;
  /** Data sets. Read only. */
  readonly data: string;
  /** Folders where data are looked for when `data` does not have them, in order. Read only. */
  readonly moreData?: readonly string[];
}

export type RootName = Exclude<keyof Roots, 'moreModels' | 'moreData'>;

/** The workflow that runs, in ComfyUI's two JSON forms, as pictures carry it. */
export interface RunningWorkflow {
  /** API form, with every change that was made before the run. */
  readonly prompt: unknown;
  /** The front end's form as it was saved, where there is one. */
  readonly workflow?: unknown;
}

/** A picture of what is being made. */
export interface StepPicture {
  readonly step: number;
  readonly png: Uint8Array;
  /** Pixels. */
  readonly width: number;
  readonly height: number;
}

export interface NodeContext {
  readonly roots: Roots;
  readonly signal: AbortSignal;
  /** Undefined when a node runs by itself. */
  readonly workflow?: RunningWorkflow;
  /** Where nodes compute, in one line; undefined where the user is told by other means. */
  readonly device?: string | undefined;
  onProgress(event: StepEvent): void;
  /** Tells the user something that stops nothing: pictures that were skipped, a run that goes on. */
  onNotice?(message: string): void;
  /** Shows samples while a run goes on. */
  onPreview?(picture: StepPicture): void;
}

/** Cancelling is no failure, but nothing after it may run. */
export function throwIfAborted(signal: AbortSignal): void {
  if (signal.aborted) throw new FlowstepError('INTERRUPTED', 'interrupted');
}

/** Tells where a node that trains computes: for hours, and how fast depends on it. */
export function tellDevice(context: NodeContext): void {
  if (context.device !== undefined) context.onNotice?.(context.device);
}
