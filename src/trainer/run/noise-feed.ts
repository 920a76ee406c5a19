/** @file Normal noise for a training step, drawn ahead while the step before runs. */
import { fillNormalAsync } from '../random/philox.ts';

export class NoiseFeed {
  readonly #values: Float32Array;
  readonly #seed: number;
  readonly #stream: number;
  #draw = -1;

  constructor(size: number, seed: number, stream: number) {
    this.#values = new Float32Array(size);
    this.#seed = seed;
    this.#stream = stream;
  }

  /** Draws number `draw` unless it is there already. */
  async fill(draw: number): Promise<void> {
    if (this.#draw === draw) return;
    await fillNormalAsync(this.#values, this.#seed, this.#stream, draw);
    this.#draw = draw;
  }

  /** Copies draw number `draw`. */
  async writeTo(out: Float32Array, draw: number): Promise<void> {
    await this.fill(draw);
    out.set(this.#values);
  }
}
