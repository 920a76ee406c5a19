/** @file Latents of Stable Diffusion 3 as its network and as ComfyUI's wires have them (ComfyUI's latent format `SD3`). */

/** Channels of its latents. */
export const SD3_CHANNELS = 16;

const SCALE = 1.5305;
const SHIFT = 0.0609;

/** What the network works on, of a latent from a wire. An all-zero latent stands for "empty" and stays as it is. */
export function latentIn(latent: Float32Array): Float32Array {
  const isEmpty = latent.every((z) => z === 0);
  return isEmpty ? latent.slice() : latent.map((z) => (z - SHIFT) * SCALE);
}

/** What goes onto a wire, of what the network made; it is what Stable Diffusion 3's decoder takes. */
export function latentOut(x: Float32Array): Float32Array {
  return x.map((v) => v / SCALE + SHIFT);
}
