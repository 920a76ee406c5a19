/** @file What the bridge needs of whoever runs nodes. The bridge knows nothing of nodes, so the host comes to it. */
import type { NodeDefinition } from './node-definition.ts';

/** One node to run. */
export interface NodeRequest {
  readonly node: string;
  /** By name; tensors as { dtype, shape, data }. */
  readonly inputs: Readonly<Record<string, unknown>>;
  readonly signal: AbortSignal;
}

export interface ProgressReport {
  /** Steps done so far, and in all. */
  readonly step: number;
  readonly steps: number;
  readonly stepsPerSecond: number;
  readonly etaSeconds: number;
  /** What is counted, where it is no step of a training. */
  readonly counts?: string;
}

export interface MetricsReport {
  readonly step: number;
  readonly metrics: Readonly<Record<string, number>>;
}

export interface PreviewPicture {
  readonly step: number;
  /** Of `bytes`, such as image/png. */
  readonly mime: string;
  readonly width: number;
  readonly height: number;
  readonly bytes: Uint8Array;
}

/** What a node tells while it runs, as often as it likes. */
export interface NodeEvents {
  progress(report: ProgressReport): void;
  metrics(report: MetricsReport): void;
  preview(picture: PreviewPicture): void;
  text(text: string): void;
}

export interface NodeOutcome {
  /** By name; tensors as { dtype, shape, data }, at any depth. */
  readonly outputs: Readonly<Record<string, unknown>>;
  /** Why an output is not there, by its name. */
  readonly blocked: Readonly<Record<string, string>>;
  /** Written, relative to the output folder. */
  readonly files: readonly string[];
}

export interface NodeHost {
  /** As they are now: the choices of an input may change with the files that are there. */
  definitions(): readonly NodeDefinition[];
  /** Runs the node; throws FlowstepError, INTERRUPTED when the signal ended it. */
  execute(request: NodeRequest, events: NodeEvents): Promise<NodeOutcome>;
  /** What the node's result depends on besides its inputs, of which some may be left out; undefined when there is nothing. */
  fingerprint(request: NodeRequest, events: NodeEvents): Promise<string | undefined>;
}
