/** @file Measures a run's model on the way: the best one is kept, and a run that gets no better may end early. */
import { join } from 'node:path';
import { FlowstepError } from '../../errors.ts';
import type { FlowModel } from './model.ts';
import { saveModel } from './model-file.ts';
import { STATS_FILE } from './run-folder.ts';
import { readStats } from './stats.ts';

/** The best model so far, in a run's folder. */
export const BEST_FILE = 'best.safetensors';

/** How a run's model is measured. It must draw from no stream that training draws from. */
export interface Evaluation {
  /** Steps between evaluations; there is one more after the last step. */
  readonly every: number;
  /** Evaluations in a row without a better model after which the run ends; 0 = it never does. */
  readonly patience: number;
  /** Metric that says which model is the best: the lower the better. */
  readonly decidedBy: string;
  /** Metrics by names that begin with `EVALUATED`. Throws DIVERGED for samples that are not finite, and INTERRUPTED. */
  measure(model: FlowModel, signal?: AbortSignal): Promise<Readonly<Record<string, number>>>;
  /** The model as it is to be saved, where that says more than training knows. */
  named?(model: FlowModel): FlowModel;
}

export interface BestModel {
  readonly step: number;
  readonly metric: string;
  readonly value: number;
  readonly file: string;
}

export interface Judgement {
  readonly metrics: Readonly<Record<string, number>>;
  /** Present when this model is the best so far. */
  readonly best?: BestModel;
  /** Its samples are not finite. */
  readonly problem?: FlowstepError;
}

/**
 * What a run's evaluations have found. It follows from the statistics, so that a run which goes on judges as if it had
 * not been stopped.
 */
export class Judge {
  readonly #evaluation: Evaluation;
  readonly #folder: string;
  readonly #seen = new Set<number>();
  #best: BestModel | undefined;
  /** Evaluations since the best one. */
  #worse = 0;

  private constructor(evaluation: Evaluation, folder: string) {
    this.#evaluation = evaluation;
    this.#folder = folder;
  }

  /** With the evaluations in the folder's statistics, which end where the run goes on. */
  static async open(evaluation: Evaluation, folder: string): Promise<Judge> {
    const judge = new Judge(evaluation, folder);
    for (const { step, metrics } of await readStats(join(folder, STATS_FILE))) {
      const value = metrics[evaluation.decidedBy];
      if (typeof value === 'number') judge.#take(step, value);
    }
    return judge;
  }

  /** Whether the model after `step` of `steps` is to be measured, and has not been. */
  isDue(step: number, steps: number): boolean {
    const { every } = this.#evaluation;
    return step > 0 && (step % every === 0 || step === steps) && !this.#seen.has(step);
  }

  /** Whether nothing has become better for as long as the run has patience. */
  get isSpent(): boolean {
    const { patience } = this.#evaluation;
    return patience > 0 && this.#worse >= patience;
  }

  /** Undefined when it was stopped on the way: it is made up for when the run goes on. */
  async evaluate(
    step: number,
    model: FlowModel,
    signal?: AbortSignal,
  ): Promise<Judgement | undefined> {
    const { decidedBy, measure, named } = this.#evaluation;
    let metrics: Judgement['metrics'];
    try {
      metrics = await measure(model, signal);
    } catch (error) {
      if (!(error instanceof FlowstepError)) throw error;
      if (error.code === 'INTERRUPTED') return undefined;
      if (error.code === 'DIVERGED') return { metrics: {}, problem: error };
      throw error;
    }
    const value = metrics[decidedBy];
    if (value === undefined || !this.#take(step, value)) return { metrics };
    await saveModel(this.#best!.file, named?.(model) ?? model);
    return { metrics, best: this.#best! };
  }

  /** Why the run ends before its last step. */
  spentMessage(step: number): string {
    const { metric, value, step: bestStep } = this.#best!;
    return `stopped after step ${step}: ${this.#worse} evaluations in a row were no better than ${metric} ${Number(value.toPrecision(4))} of step ${bestStep}`;
  }

  /** Whether it is the best value so far. */
  #take(step: number, value: number): boolean {
    this.#seen.add(step);
    const { decidedBy: metric } = this.#evaluation;
    if (this.#best && value >= this.#best.value) {
      this.#worse++;
      return false;
    }
    this.#worse = 0;
    this.#best = { step, metric, value, file: join(this.#folder, BEST_FILE) };
    return true;
  }
}
