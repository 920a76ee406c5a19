/** @file `npm run build:random`: compiles assembly/random.ts into src/trainer/random/random-module.ts. */
import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { compiledRandom, moduleSource } from './compiled-random.ts';

const file = fileURLToPath(new URL('../src/trainer/random/random-module.ts', import.meta.url));
await writeFile(file, moduleSource(await compiledRandom()));
