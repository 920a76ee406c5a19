/** Stable Diffusion 3.5's networks (MM-DiT with normalised queries and keys, MMDiT-X) against ComfyUI's. */
import { goldenCases } from '../../support/golden.ts';
import { testNetworks } from '../../support/golden-mmdit.ts';

testNetworks(goldenCases('sd35'));
