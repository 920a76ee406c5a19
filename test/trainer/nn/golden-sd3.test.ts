/** Stable Diffusion 3's network (MM-DiT) against ComfyUI's. */
import { goldenCases } from '../../support/golden.ts';
import { testNetworks } from '../../support/golden-mmdit.ts';

testNetworks(goldenCases('sd3').filter(({ name }) => !name.includes('sampling')));
