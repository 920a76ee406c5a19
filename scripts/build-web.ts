/** @file Part of `npm run build`: bundles the front-end extension. */
import { build } from 'esbuild';
import { bundleOptions } from './web-bundle.ts';

await build(await bundleOptions());
