/** @file The WebAssembly of assembly/random.ts. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { main } from 'assemblyscript/asc';

/** Bytes of the module. Throws with what the compiler says. */
export async function compiledRandom(): Promise<Uint8Array> {
  const folder = await mkdtemp(join(tmpdir(), 'flowstep-random-'));
  try {
    const root = fileURLToPath(new URL('..', import.meta.url));
    const out = join(folder, 'random.wasm');
    const { error, stderr } = await main([
      ...['assembly/random.ts', '--baseDir', root, '--outFile', out],
      ...['-O3', '--noAssert', '--runtime', 'stub', '--enable', 'simd', '--initialMemory', '1'],
    ]);
    if (error) throw new Error(`${error.message}\n${stderr.toString()}`);
    return await readFile(out);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The module as a source file. */
export function moduleSource(wasm: Uint8Array): string {
  const text = Buffer.from(wasm).toString('base64');
  const lines = text.match(/.{1,96}/g) ?? [];
  return [
    '/** @file WebAssembly of assembly/random.ts, written by `npm run build:random`. */',
    'export const RANDOM_MODULE = `',
    ...lines,
    '`;',
    '',
  ].join('\n');
}
