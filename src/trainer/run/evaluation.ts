/** @file Measures a run's model on the way: the best one is kept, and a run that gets no better may end early. */
import { join } from 'node:path';
import { z } from 'zod';
import { FlowstepError } from '../../errors.ts';
import { readSafetensorsHeader } from '../files/safetensors.ts';
import type { FlowModel, ModelInfo } from './model.ts';
import { saveModel } from './model-file.ts';
import { parseModelInfo } from './model-metadata.ts';
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

/** Where the best model's facts say why it is the best. */
const FACT = 'evaluation';
const FactSchema = z.object({ run: z.string(), metric: z.string(), value: z.number() });
const FactsSchema = z.object({ steps: z.int(), [FACT]: FactSchema.optional() });

/**
 * What a run's evaluations have found. When the run ends follows from the statistics, so that one which goes on ends as if
 * it had not been stopped. Which model is the best is said by its file: it may be of a step after the checkpoint that a killed
 * run goes on from, and so in no statistics any more. It stays until a better one is found.
 */
export class Judge {
  readonly #evaluation: Evaluation;
  readonly #folder: string;
  readonly #run: string;
  readonly #seen = new Set<number>();
  /** The lowest value of the statistics, of equal ones the first. */
  #lowest: { readonly step: number; readonly value: number } | undefined;
  /** Evaluations since then. */
  #worse = 0;
  /** What is in BEST_FILE; undefined when that cannot be compared: the next model takes its place. */
  #best: BestModel | undefined;

  private constructor(evaluation: Evaluation, folder: string, run: string) {
    this.#evaluation = evaluation;
    this.#folder = folder;
    this.#run = run;
  }

  /** With the evaluations in the statistics of the folder, which end where the run of this identity goes on. */
  static async open(evaluation: Evaluation, folder: string, run: string): Promise<Judge> {
    const judge = new Judge(evaluation, folder, run);
    for (const { step, metrics } of await readStats(join(folder, STATS_FILE))) {
      const value = metrics[evaluation.decidedBy];
      if (typeof value === 'number') judge.#count(step, value);
    }
    judge.#best = await judge.#kept();
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
    if (value === undefined) return { metrics };
    this.#count(step, value);
    if (!this.#isBest(step, value)) return { metrics };
    const best = { step, metric: decidedBy, value, file: join(this.#folder, BEST_FILE) };
    await saveModel(best.file, this.#withFact(named?.(model) ?? model, best));
    this.#best = best;
    return { metrics, best };
  }

  /** Why the run ends before its last step. */
  spentMessage(step: number): string {
    const { decidedBy } = this.#evaluation;
    const { value, step: lowestStep } = this.#lowest!;
    return `stopped after step ${step}: ${this.#worse} evaluations in a row were no better than ${decidedBy} ${Number(value.toPrecision(4))} of step ${lowestStep}`;
  }

  #count(step: number, value: number): void {
    this.#seen.add(step);
    if (this.#lowest && value >= this.#lowest.value) {
      this.#worse++;
    } else {
      this.#worse = 0;
      this.#lowest = { step, value };
    }
  }

  /** Of equal ones the first; the same again is written again. */
  #isBest(step: number, value: number): boolean {
    const best = this.#best;
    return !best || value < best.value || (value === best.value && step <= best.step);
  }

  #withFact(model: FlowModel, { metric, value }: BestModel): FlowModel {
    const training = { ...model.info.training, [FACT]: { run: this.#run, metric, value } };
    return { ...model, info: { ...model.info, training } };
  }

  /** What BEST_FILE holds, where it is this run's and was judged as it is now. */
  async #kept(): Promise<BestModel | undefined> {
    const file = join(this.#folder, BEST_FILE);
    const facts = FactsSchema.safeParse((await infoOf(file))?.training).data;
    if (!facts) return undefined;
    const { steps: step, [FACT]: fact } = facts;
    const metric = this.#evaluation.decidedBy;
    if (fact) {
      const isOurs = fact.run === this.#run && fact.metric === metric;
      return isOurs ? { step, metric, value: fact.value, file } : undefined;
    }
    // An older file says its step alone.
    return this.#lowest?.step === step ? { ...this.#lowest, metric, file } : undefined;
  }
}

/** Undefined where there is no model that can be read: then there is nothing to keep. */
async function infoOf(file: string): Promise<ModelInfo | undefined> {
  try {
    return parseModelInfo(file, (await readSafetensorsHeader(file)).metadata);
  } catch (error) {
    if (error instanceof FlowstepError) return undefined;
    throw error;
  }
}
