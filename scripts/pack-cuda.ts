/**
 * @file Packs Node, ONNX Runtime with CUDA and the measurements of bench/cuda-rows.ts for a Linux machine (x64) that has
 * an NVIDIA card and its driver, but neither internet nor Node: parts of a size that can be carried, and a script that
 * joins and runs them there.
 *
 *     npm run pack:cuda -- --out FOLDER [--part-mib 60] [--compress xz|gzip] [--without-provider]
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import {
  chmod,
  copyFile,
  cp,
  mkdir,
  mkdtemp,
  open,
  readFile,
  rm,
  writeFile,
} from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';
import { FlowstepError } from '../src/errors.ts';
import { findCudaLibrary } from '../src/trainer/runtime/cuda-library.ts';
import { findLibrary } from '../src/trainer/runtime/library.ts';

const MIB = 2 ** 20;

const { values } = parseArgs({
  options: {
    out: { type: 'string' },
    'part-mib': { type: 'string', default: '60' },
    compress: { type: 'string', default: 'xz' },
    'without-provider': { type: 'boolean', default: false },
  },
});
const out = values.out;
if (!out || existsSync(out))
  throw new FlowstepError('USAGE', '--out must name a folder that is not there yet');
const root = fileURLToPath(new URL('..', import.meta.url));
const require = createRequire(import.meta.url);

await mkdir(out, { recursive: true });
const stage = await mkdtemp(join(out, 'stage-'));
try {
  await copyProgram(stage);
  await copyLibraries(stage);
  const archive = join(out, `flowstep-cuda.tar.${values.compress === 'gzip' ? 'gz' : 'xz'}`);
  await pack(stage, archive);
  const parts = await cut(archive, Number(values['part-mib']) * MIB);
  await rm(archive);
  const script = join(out, 'join-and-run.sh');
  await copyFile(join(root, 'scripts/join-and-run.sh'), script);
  await chmod(script, 0o755);
  for (const { name, bytes } of parts) console.log(`${name}  ${(bytes / MIB).toFixed(1)} MiB`);
} finally {
  await rm(stage, { recursive: true, force: true });
}

/** The measurements as two scripts, with what they import; PyTorch's side; Node. */
async function copyProgram(folder: string): Promise<void> {
  await build({
    absWorkingDir: root,
    entryPoints: ['bench/cuda-rows.ts', 'bench/cuda-row.ts'],
    outdir: join(folder, 'app'),
    outExtension: { '.js': '.mjs' },
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    external: ['koffi', 'onnxruntime-node', 'sharp'],
    // Packages in CommonJS ask for Node's modules by require.
    banner: {
      js: "import { createRequire as createRequireOfPack } from 'node:module';\nconst require = createRequireOfPack(import.meta.url);",
    },
  });
  await mkdir(join(folder, 'app/peer'));
  await copyFile(join(root, 'bench/peer/torch_fgm.py'), join(folder, 'app/peer/torch_fgm.py'));
  const { name, version } = JSON.parse(
    await readFile(join(root, 'package.json'), 'utf8'),
  ) as object & Record<string, string>;
  await writeFile(join(folder, 'package.json'), JSON.stringify({ name, version, type: 'module' }));
  await mkdir(join(folder, 'bin'));
  await copyFile(process.execPath, join(folder, 'bin/node'));
}

async function copyLibraries(folder: string): Promise<void> {
  const modules = join(folder, 'node_modules');
  for (const name of ['koffi', '@koromix/koffi-linux-x64']) {
    await cp(join(root, 'node_modules', name), join(modules, name), { recursive: true });
  }
  // Only the library of onnxruntime-node is used, and that its package can be found.
  const library = findLibrary('cpu').path;
  const home = dirname(require.resolve('onnxruntime-node/package.json'));
  const target = join(modules, 'onnxruntime-node');
  await mkdir(join(target, 'dist'), { recursive: true });
  await writeFile(
    join(target, 'package.json'),
    JSON.stringify({ name: 'onnxruntime-node', main: 'dist/index.js' }),
  );
  await writeFile(join(target, 'dist/index.js'), '');
  const place = join(target, library.slice(home.length));
  await mkdir(dirname(place), { recursive: true });
  await copyFile(library, place);
  if (values['without-provider']) return;
  const cuda = findCudaLibrary({ environment: process.env });
  const capi = join(folder, 'capi');
  await mkdir(capi);
  for (const name of [
    basename(cuda),
    'libonnxruntime_providers_cuda.so',
    'libonnxruntime_providers_shared.so',
  ]) {
    await copyFile(join(dirname(cuda), name), join(capi, name));
  }
}

/** The folder's content as one compressed archive. */
function pack(folder: string, archive: string): Promise<void> {
  const how = values.compress === 'gzip' ? '-z' : '-J';
  const child = spawn('tar', ['-c', how, '-f', archive, '-C', folder, '.'], {
    stdio: 'inherit',
    env: { ...process.env, XZ_OPT: '-T2 -6' },
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) =>
      code === 0 ? resolve() : reject(new Error(`tar ended with ${code}`)),
    );
  });
}

/** Cuts a file into parts FILE.000, FILE.001, ..., and writes their sums to SHA256SUMS. */
async function cut(file: string, size: number): Promise<{ name: string; bytes: number }[]> {
  const parts: { name: string; bytes: number }[] = [];
  const sums: string[] = [];
  await using source = await open(file);
  for (;;) {
    const { bytesRead, buffer } = await source.read(Buffer.alloc(size), 0, size);
    if (bytesRead === 0) break;
    const name = `${basename(file)}.${String(parts.length).padStart(3, '0')}`;
    const part = buffer.subarray(0, bytesRead);
    await writeFile(join(dirname(file), name), part);
    sums.push(`${createHash('sha256').update(part).digest('hex')}  ${name}\n`);
    parts.push({ name, bytes: bytesRead });
  }
  await writeFile(join(dirname(file), 'SHA256SUMS'), sums.join(''));
  return parts;
}
