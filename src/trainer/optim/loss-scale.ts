/**
 * @file The factor of a loss whose gradient is computed in float16, whose least numbers are 6e-8: large enough that small
 * gradients are kept, and lowered when large ones overflow, as in PyTorch's GradScaler.
 */

/** Our losses are sums over a sample's elements: their gradients are as much larger than those of PyTorch's means. */
const FIRST = 2 ** 10;
const LEAST = 1;
const MOST = 2 ** 16;
/** Updates without overflow after which a larger factor is tried. */
const PATIENCE = 2000;

export class LossScale {
  /** What a program reads, a scalar. */
  readonly value: Float32Array = Float32Array.of(FIRST);
  #kept = 0;

  /** After an update whose gradient was finite. */
  keep(): void {
    if (++this.#kept < PATIENCE) return;
    this.#kept = 0;
    this.value[0] = Math.min(2 * this.value[0]!, MOST);
  }

  /** After a gradient that was not: false when a smaller factor would not help. */
  lower(): boolean {
    this.#kept = 0;
    if (this.value[0]! <= LEAST) return false;
    this.value[0] = this.value[0]! / 2;
    return true;
  }
}
