/** @file Takes the latents of a student of several steps to the step that is trained, without gradient. */
import { fillIndices, fillNormalAsync } from '../random/philox.ts';
import { STREAMS } from '../random/streams.ts';
import { MAX_STUDENT_STEPS, type ModelInfo, type StudentSettings } from './model.ts';
import { Sampler, studentStrides } from './sample.ts';

/** Which step of a student of `steps` steps is trained in an iteration: drawn evenly, a function of (seed, iteration). */
export function trainedStep(steps: number, seed: number, iteration: number): number {
  if (steps === 1) return 0;
  const choice = new Int32Array(1);
  fillIndices(choice, steps, seed, STREAMS.stepChoice, iteration);
  return choice[0]!;
}

export class StudentWalk {
  readonly #sampler: Sampler;
  readonly #settings: StudentSettings;
  readonly #seed: number;

  /** `weights` are the student's own memory, read as they are at each walk. */
  constructor(
    teacher: ModelInfo,
    weights: Float32Array,
    settings: StudentSettings,
    batch: number,
    seed: number,
  ) {
    this.#sampler = new Sampler({ info: teacher, parameters: weights }, 'euler', batch);
    this.#settings = settings;
    this.#seed = seed;
  }

  /** Replaces the noise z [B, ...sample] by the student's input at step number `step` of its grid; returns that step's time. */
  async toStep(
    step: number,
    z: Float32Array,
    labels: BigInt64Array | undefined,
    draw: number,
  ): Promise<number> {
    const { grid, cIn, transition } = this.#settings;
    for (let i = 0; i < z.length; i++) z[i]! *= cIn;
    const fresh: Float32Array[] = [];
    for (let k = 0; transition === 'fresh' && k < step; k++) {
      fresh.push(new Float32Array(z.length));
      await fillNormalAsync(
        fresh[k]!,
        this.#seed,
        STREAMS.transition,
        draw * MAX_STUDENT_STEPS + k,
      );
    }
    const strides = studentStrides(grid.slice(0, step), grid[step]!, transition, fresh);
    await this.#sampler.integrate(z, strides, labels && Int32Array.from(labels, Number));
    return grid[step]!;
  }

  dispose(): void {
    this.#sampler.dispose();
  }
}
