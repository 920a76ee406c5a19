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

/** What `state` is called beside a network's vectors. */
export const LOSS_SCALE_STATE = 'loss-scale';
/** And the number of updates that overflow has skipped, whatever the precision is now. */
export const SKIPPED_STATE = 'skipped-updates';

export class LossScale {
  /** The factor, and updates without overflow since it was changed: what training needs to go on. */
  readonly state: Float32Array = Float32Array.of(FIRST, 0);
  /** The factor alone, over the same memory: what a program reads, a scalar. */
  readonly value: Float32Array = this.state.subarray(0, 1);

  /** After an update whose gradient was finite. */
  keep(): void {
    const [value, kept] = [this.state[0]!, this.state[1]! + 1];
    this.state.set(kept < PATIENCE ? [value, kept] : [Math.min(2 * value, MOST), 0]);
  }

  /** After a gradient that was not: false when a smaller factor would not help. */
  lower(): boolean {
    const value = this.state[0]!;
    const isLower = value > LEAST;
    this.state.set([isLower ? value / 2 : value, 0]);
    return isLower;
  }
}
