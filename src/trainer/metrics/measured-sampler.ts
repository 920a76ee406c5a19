/** @file Samples of a model to measure: noise of a stream of its own, the same for all models, and each condition in turn. */
import { FlowstepError } from '../../errors.ts';
import type { PromptSet } from '../data/prompts.ts';
import type { Guidance } from '../flow/guidance.ts';
import { sampleShape } from '../nn/config.ts';
import { fillNormal } from '../random/philox.ts';
import { STREAMS } from '../random/streams.ts';
import { type ConditionSource, conditionSource } from '../run/conditions.ts';
import type { FlowModel } from '../run/model.ts';
import { Sampler } from '../run/sample.ts';
import { checkRequest, type SampleRequest, type Solver } from '../run/sample-request.ts';
import { float32, type Shape, sizeOf } from '../tensor.ts';
import { spreadIndices } from './spread.ts';

/** Steps of a solver where nobody says how many; the workflows compare students with the same. */
const USUAL_STEPS = 50;

export interface SamplingOptions {
  /** Left out: the student's own steps, or Euler for all other models. */
  readonly solver?: Solver;
  /** Of Euler and Heun. */
  readonly steps?: number;
  /** Of the noise: models that are measured with the same differ by what they learned alone. */
  readonly seed: number;
  /** For models that take text. */
  readonly prompts?: PromptSet | undefined;
  /** Classifier-free guidance of Euler and Heun; a scale of 1 or left out = none. */
  readonly guidance?: Guidance | undefined;
}

/** Evaluations of the network that a sample takes (NFE). */
export function networkEvaluations(
  { info: { student } }: FlowModel,
  { solver, steps = USUAL_STEPS, guidance }: Omit<SamplingOptions, 'seed'>,
): number {
  if (student && (solver ?? 'one-step') === 'one-step') return student.grid.length;
  // Heun's last step is one of Euler.
  const inSteps = solver === 'heun' ? 2 * steps - 1 : steps;
  return (guidance?.scale ?? 1) === 1 ? inSteps : 2 * inSteps;
}

/** Makes parts of a model's samples, and keeps the time that they take. */
export class MeasuredSampler implements Disposable {
  readonly #model: FlowModel;
  readonly #options: SamplingOptions & { readonly solver: Solver };
  readonly #conditions: ConditionSource;
  /** Which of them the samples have in turn: all, or some of all where there are more than samples. */
  readonly #choices: readonly number[];
  readonly #shape: Shape;
  readonly #sampler: Sampler;
  #seconds = 0;
  #count = 0;

  /**
   * `batch` is the largest part that will be asked for, `count` how many samples there will be in all. Throws
   * WORKFLOW_INVALID for a model of texts without prompts.
   */
  constructor(model: FlowModel, options: SamplingOptions, batch: number, count: number) {
    const { network, student } = model.info;
    const solver = options.solver ?? (student ? 'one-step' : 'euler');
    this.#model = model;
    this.#options = { ...options, solver };
    this.#conditions = conditionSource(network, options.prompts);
    this.#shape = sampleShape(network);
    const { tokens, count: choices } = this.#conditions;
    this.#choices = spreadIndices(choices, count);
    this.#sampler = new Sampler(model, solver, batch, {
      tokens,
      ...(this.#guidance && { guidance: { ...this.#guidance, tokens } }),
    });
  }

  get secondsPerSample(): number {
    return this.#seconds / this.#count;
  }

  /**
   * `count` samples that follow after `from` others. `draw` numbers their noise: 0 is what they start from, more are for
   * students that add fresh noise. Throws DIVERGED for samples that are not finite, and INTERRUPTED.
   */
  async part(
    from: number,
    count: number,
    draw: (transition: number) => number,
    signal: AbortSignal | undefined,
  ): Promise<Float32Array> {
    const request = await this.#request(from, count, draw);
    checkRequest(this.#model, request);
    const started = performance.now();
    const { data } = await this.#sampler.run(request, signal);
    this.#seconds += (performance.now() - started) / 1000;
    this.#count += count;
    if (data.every(Number.isFinite)) return data;
    throw new FlowstepError('DIVERGED', "the model's samples are not finite", {
      hint: 'Its training has diverged: take an earlier checkpoint, or train with a lower rate.',
    });
  }

  [Symbol.dispose](): void {
    this.#sampler.dispose();
  }

  get #guidance(): Guidance | undefined {
    const { solver, guidance } = this.#options;
    return solver === 'one-step' || guidance?.scale === 1 ? undefined : guidance;
  }

  async #request(
    from: number,
    count: number,
    draw: (transition: number) => number,
  ): Promise<SampleRequest> {
    const { solver, steps = USUAL_STEPS, seed, prompts } = this.#options;
    const { student } = this.#model.info;
    const choices = this.#choices;
    const noise = (transition: number) => {
      const values = new Float32Array(count * sizeOf(this.#shape));
      fillNormal(values, seed, STREAMS.evaluation, draw(transition));
      return float32(values, [count, ...this.#shape]);
    };
    return {
      solver,
      noise: noise(0),
      ...(solver === 'one-step'
        ? { freshNoise: student?.grid.slice(1).map((_, k) => noise(k + 1)) ?? [] }
        : { steps }),
      ...(choices.length > 0 &&
        (await this.#conditions.rows(
          Int32Array.from({ length: count }, (_, i) => choices[(from + i) % choices.length]!),
        ))),
      ...(this.#guidance && {
        guidance: { ...this.#guidance, negative: prompts ? { text: prompts.empty } : {} },
      }),
    };
  }
}
