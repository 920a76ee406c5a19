/** @file The size of a DiT's patches. Attention takes the square of their number in time, so it is kept moderate. */

/** Patches along a side that are aimed at, for small pictures; MNIST's 28 gives 7, CIFAR's 32 gives 8. */
const SMALL_GRID = 8;
/** The same for pictures above this side, and for latents, where one value stands for many pixels. */
const LARGE_GRID = 16;
const SMALL_SIDE = 64;

/** Latents have at least this many channels, pictures fewer. */
const LATENT_CHANNELS = 4;

/** Fewer patches along a side leave attention nothing to do, more take too long. */
const GRID_RANGE = { min: 3, max: 32 } as const;

/** The divisor of `size` whose number of patches is nearest to the aim; undefined when none is near enough. */
export function patchFor(size: number, channels: number): number | undefined {
  const aim = size > SMALL_SIDE || channels >= LATENT_CHANNELS ? LARGE_GRID : SMALL_GRID;
  const distance = (patch: number) => Math.abs(Math.log(size / patch / aim));
  const least = Math.min(GRID_RANGE.min, size);
  return Array.from({ length: size }, (_, i) => i + 1)
    .filter((patch) => {
      const grid = size / patch;
      return Number.isInteger(grid) && grid >= least && grid <= GRID_RANGE.max;
    })
    .sort((a, b) => distance(a) - distance(b))[0];
}
