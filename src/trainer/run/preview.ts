/** @file What a run shows while it trains: samples of its averaged weights, from the same noise every time. */
import { sampleShape } from '../nn/config.ts';
import { fillNormal } from '../random/philox.ts';
import { STREAMS } from '../random/streams.ts';
import { whole } from '../runtime/whole.ts';
import { float32, sizeOf, type Tensor } from '../tensor.ts';
import type { ConditionSource } from './conditions.ts';
import type { FlowModel } from './model.ts';
import { Sampler } from './sample.ts';
import type { Solver } from './sample-request.ts';

/** A scatter plot needs many points; a grid of pictures is looked at one by one. */
const POINTS = 2048;
const PICTURES = 36;
/** Enough to judge a teacher by; its own sampler takes more. */
const TEACHER_STEPS = 20;

export class Preview {
  readonly #model: FlowModel;
  readonly #solver: Solver;
  readonly #conditions: ConditionSource;
  readonly #seed: number;
  #sampler: Sampler | undefined;

  /** The model's weights may change between calls: they are read anew each time. */
  constructor(model: FlowModel, conditions: ConditionSource, seed: number) {
    this.#model = model;
    this.#conditions = conditions;
    this.#solver = model.info.student ? 'one-step' : 'euler';
    this.#seed = seed;
  }

  /** Samples [count, ...sample], each class or prompt in turn. Throws INTERRUPTED. */
  async samples(signal?: AbortSignal): Promise<Tensor<'float32'>> {
    const { network, student } = this.#model.info;
    const sample = sampleShape(network);
    const count = sample.length === 1 ? POINTS : PICTURES;
    const { count: choices, tokens } = this.#conditions;
    this.#sampler ??= whole(() => new Sampler(this.#model, this.#solver, count, { tokens }));
    const noise = (draw: number) => {
      const data = new Float32Array(count * sizeOf(sample));
      fillNormal(data, this.#seed, STREAMS.preview, draw);
      return float32(data, [count, ...sample]);
    };
    this.#sampler.changed();
    return this.#sampler.run(
      {
        solver: this.#solver,
        ...(student ? {} : { steps: TEACHER_STEPS }),
        noise: noise(0),
        ...(choices > 0 &&
          (await this.#conditions.rows(Int32Array.from({ length: count }, (_, i) => i % choices)))),
        ...(student?.transition === 'fresh' && {
          freshNoise: student.grid.slice(1).map((_, k) => noise(k + 1)),
        }),
      },
      signal,
    );
  }

  dispose(): void {
    this.#sampler?.dispose();
  }
}
