/** The CUDA library is found, and what is missing of it named: with stand-ins for driver, NVIDIA's libraries and provider. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { describe, expect, test } from 'vitest';
import { findCudaLibrary } from '../../../src/trainer/runtime/cuda-library.ts';
import {
  CUDA_PARTS,
  cudaFolders,
  findParts,
  otherCuda,
} from '../../../src/trainer/runtime/cuda-parts.ts';
import { findLibrary } from '../../../src/trainer/runtime/library.ts';
import { type ElfFunction, writeElf } from '../../support/elf-library.ts';
import { fakeCuda } from '../../support/fake-cuda.ts';
import { tempFolder } from '../../support/temp-folder.ts';

const INSTALL = expect.stringContaining('flowstep doctor --install cuda');

describe('the library', () => {
  test('lies in the folder of packages, or where the variable says: a file, or its folder', async () => {
    const { packages, capi } = await fakeCuda([]);
    const library = join(capi, 'libonnxruntime.so.1.30.0');
    const find = (environment: Record<string, string>, place = packages) =>
      findCudaLibrary({ environment, packages: place, platform: 'linux' });
    expect(find({})).toBe(library);
    expect(find({ FLOWSTEP_ORT_CUDA: capi }, '/none')).toBe(library);
    expect(find({ FLOWSTEP_ORT_CUDA: library }, '/none')).toBe(library);
    expect(find({ FLOWSTEP_ORT_CUDA: '' })).toBe(library);
    expect(findCudaLibrary({ environment: {}, packages, platform: 'win32' })).toBe(
      join(capi, 'onnxruntime.dll'),
    );
  });

  test('that is not there comes with the command that installs it', () => {
    const search = { environment: {}, packages: '/none', platform: 'linux' } as const;
    expect(() => findCudaLibrary(search)).toThrow(
      expect.objectContaining({
        code: 'LIBRARY_NOT_FOUND',
        message: 'ONNX Runtime with CUDA is not installed',
        hint: INSTALL,
      }),
    );
  });

  test('of another wheel, without CUDA, is refused', async () => {
    const { capi } = await fakeCuda([]);
    await rm(join(capi, 'libonnxruntime_providers_cuda.so'));
    const named = (place: string) => () =>
      findCudaLibrary({ environment: { FLOWSTEP_ORT_CUDA: place }, platform: 'linux' });
    expect(named(capi)).toThrow(/libonnxruntime\.so\.1\.30\.0 has no CUDA provider beside it/);
    expect(named(join(capi, 'none'))).toThrow(/is no ONNX Runtime library/);
  });
});

describe("NVIDIA's libraries", () => {
  test("are found in the folders of ComfyUI's Python before those installed here", async () => {
    const [own, comfy] = [await fakeCuda(['libcublas.so.13', 'libcudnn.so.9']), await tempFolder()];
    await writeFile(join(comfy, 'libcudnn.so.9'), '');
    const folders = cudaFolders({ FLOWSTEP_CUDA_LIBRARIES: comfy }, own.packages, 'linux');
    const found = Object.fromEntries(
      findParts(folders, 'linux').map(({ name, path }) => [name, path]),
    );
    expect(found['libcudnn.so.9']).toBe(join(comfy, 'libcudnn.so.9'));
    expect(found['libcublas.so.13']).toBe(join(own.folder, 'libcublas.so.13'));
  });

  test('of another version of CUDA are noticed', async () => {
    const { folder } = await fakeCuda(['libcublas.so.12', 'libcudart.so.12']);
    expect(otherCuda(['/none', folder])).toBe(12);
    const right = await fakeCuda(['libcublas.so.13']);
    expect(otherCuda([right.folder])).toBeUndefined();
  });
});

/** The system has one of its own, so a stand-in would not be taken. */
const HAS_DRIVER = ['/usr/lib/x86_64-linux-gnu', '/usr/lib64', '/usr/lib/wsl/lib'].some((folder) =>
  existsSync(join(folder, 'libcuda.so.1')),
);

describe.runIf(process.platform === 'linux' && process.arch === 'x64' && !HAS_DRIVER)(
  'an engine for CUDA',
  () => {
    test('needs a driver', async () => {
      expect(start(await install())).toMatchObject({
        code: 'DEVICE_UNAVAILABLE',
        message: 'there is no NVIDIA driver',
        hint: expect.stringContaining('580'),
      });
    });

    test('needs one that is new enough', async () => {
      const driver = { cuDriverGetVersion: { returns: 0, writes: 12_040 }, cuInit: { returns: 0 } };
      expect(start(await install({ driver }))).toMatchObject({
        code: 'DEVICE_UNAVAILABLE',
        message: 'the NVIDIA driver is too old for CUDA 13: it goes as far as 12.4',
        hint: expect.stringContaining('580'),
      });
    });

    test('needs a card', async () => {
      expect(start(await install({ driver: driverThatSays(100) }))).toMatchObject({
        code: 'DEVICE_UNAVAILABLE',
        message: expect.stringContaining('no NVIDIA graphics card'),
        hint: expect.stringContaining('CUDA_VISIBLE_DEVICES'),
      });
    });

    test('names every library that is missing, and that there is another CUDA', async () => {
      const parts = ['libcudart.so.13', 'libcublas.so.12', 'libcudnn.so.9', 'libnvrtc.so.13'];
      expect(start(await install({ driver: driverThatSays(0), parts }))).toEqual({
        code: 'LIBRARY_NOT_FOUND',
        message:
          'missing of CUDA: libcublasLt.so.13, libcublas.so.13, libcurand.so.10; what there is is for CUDA 12, not 13',
        hint: INSTALL,
      });
    });

    test('does not take a library for damaged that only lacks another', async () => {
      const place = await install({ driver: driverThatSays(0), parts: ALL_PARTS.slice(1) });
      const name = 'libcurand.so.10';
      await writeElf(join(place.folder, name), { name, needs: ['libcudart.so.13'] });
      expect(start(place)).toMatchObject({ message: 'missing of CUDA: libcudart.so.13' });
    });

    test('says so when only cuDNN is missing', async () => {
      const parts = ALL_PARTS.filter((name) => !name.includes('cudnn'));
      expect(start(await install({ driver: driverThatSays(0), parts }))).toEqual({
        code: 'LIBRARY_NOT_FOUND',
        message: 'missing of CUDA: libcudnn.so.9',
        hint: INSTALL,
      });
    });

    test('says which library is damaged', async () => {
      const place = await install({ driver: driverThatSays(0) });
      await writeFile(join(place.folder, 'libcublas.so.13'), 'not a library');
      expect(start(place)).toMatchObject({
        code: 'LIBRARY_NOT_FOUND',
        message: expect.stringMatching(
          /libcublas\.so\.13 cannot be loaded: .*file too short|invalid/,
        ),
        hint: INSTALL,
      });
    });

    test("a provider for another CUDA is told by ONNX Runtime's own words", async () => {
      const place = await install({ driver: driverThatSays(0), needs: ['libcublasLt.so.12'] });
      expect(start(place)).toMatchObject({
        code: 'LIBRARY_NOT_FOUND',
        message: 'this ONNX Runtime is built for CUDA 12, not 13: libcublasLt.so.12 is missing',
        hint: INSTALL,
      });
    });

    test('gives the provider its libraries, which it knows by name alone', async () => {
      const place = await install({ driver: driverThatSays(0), needs: ALL_PARTS });
      // All were found, and this stand-in is no provider: the next thing that can fail.
      expect(start(place)).toMatchObject({
        code: 'ENGINE',
        message: expect.stringMatching(/undefined symbol|GetProvider/),
      });
    });
  },
);

const ALL_PARTS = CUDA_PARTS.map(({ file }) => file.linux);

const driverThatSays = (failure: number) => ({
  cuDriverGetVersion: { returns: 0, writes: 13_020 },
  cuInit: { returns: failure },
});

interface Place {
  readonly capi: string;
  readonly folder: string;
}

interface Installation {
  readonly driver?: Readonly<Record<string, ElfFunction>>;
  readonly parts?: readonly string[];
  /** What the provider needs. */
  readonly needs?: readonly string[];
}

/** The real ONNX Runtime beside a stand-in of its provider, and stand-ins of driver and parts. */
async function install({ driver, parts = ALL_PARTS, needs = [] }: Installation = {}) {
  const root = await tempFolder();
  const place = { capi: join(root, 'capi'), folder: join(root, 'lib') };
  for (const folder of Object.values(place)) await mkdir(folder);
  const { path } = findLibrary('cpu');
  await symlink(path, join(place.capi, 'libonnxruntime.so.1.30.0'));
  const provider = 'libonnxruntime_providers_cuda.so';
  await writeElf(join(place.capi, provider), { name: provider, needs });
  const shared = 'libonnxruntime_providers_shared.so';
  const functions = { Provider_SetHost: { returns: 0 } };
  await writeElf(join(place.capi, shared), { name: shared, functions });
  for (const name of parts) await writeElf(join(place.folder, name), { name });
  const name = 'libcuda.so.1';
  if (driver) await writeElf(join(place.folder, name), { name, functions: driver });
  return place;
}

const WORKER = fileURLToPath(new URL('./cuda-worker.ts', import.meta.url));
const TSX = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;

/** What an engine in a process of its own says. */
function start({ capi, folder }: Place): unknown {
  const { stdout, stderr } = spawnSync(process.execPath, ['--import', TSX, WORKER], {
    env: {
      ...process.env,
      FLOWSTEP_ORT_CUDA: capi,
      FLOWSTEP_CUDA_LIBRARIES: folder,
      // A driver is found as the system finds it.
      LD_LIBRARY_PATH: folder,
    },
    encoding: 'utf8',
  });
  if (stdout === '') throw new Error(stderr);
  return JSON.parse(stdout);
}
