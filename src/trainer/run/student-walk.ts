/** @file Takes the latents of a student of several steps to the step that is trained, without gradient. */
import { fillIndices, fillNormalAsync } from '../random/philox.ts';
import { STREAMS } from '../random/streams.ts';
import type { ConditionRows } from './conditions.ts';
import type { PlacedNetwork } from './frozen.ts';
import { type FlowModel, MAX_STUDENT_STEPS, type StudentSettings } from './model.ts';
import { Sampler } from './sample.ts';
import { studentStrides } from './sample-request.ts';

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

  /** The weights of `trained`, the student's, are read as they are at each walk; `tokens` is the length of texts. */
  constructor(
    student: FlowModel & { readonly info: { readonly student: StudentSettings } },
    trained: PlacedNetwork,
    batch: number,
    tokens: number,
    seed: number,
  ) {
    this.#sampler = new Sampler(student, 'euler', batch, { tokens }, trained);
    this.#settings = student.info.student;
    this.#seed = seed;
  }

  /** Replaces the noise z [B, ...sample] by the student's input at step number `step` of its grid; returns that step's time. */
  async toStep(
    step: number,
    z: Float32Array,
    condition: ConditionRows,
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
    await this.#sampler.integrate(z, strides, condition);
    return grid[step]!;
  }

  dispose(): void {
    this.#sampler.dispose();
  }
}
