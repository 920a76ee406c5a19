/** `doctor --install cuda`: what pip is asked for, and what is left when it fails. With a stand-in of Python. */
import { chmod, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { installCuda } from '../../src/host/install-cuda.ts';
import { CUDA_PARTS } from '../../src/trainer/runtime/cuda-parts.ts';
import { tempFolder } from '../support/temp-folder.ts';

const PARTS = CUDA_PARTS.map(({ file }) => file.linux);

/** Does what pip would, or ends with `failure`; ARGS keeps what it was called with. */
const PYTHON = (root: string, failure: number) => `#!/bin/sh
[ "$3" = --version ] && exit 0
echo "$@" > ${root}/args
[ ${failure} = 0 ] || exit ${failure}
mkdir -p "$5/onnxruntime/capi"
touch "$5/onnxruntime/capi/libonnxruntime.so.1.30.0" "$5/onnxruntime/capi/libonnxruntime_providers_cuda.so"
`;

async function setUp({ failure = 0, parts = PARTS }: { failure?: number; parts?: string[] } = {}) {
  const root = await tempFolder();
  const [packages, comfy, python] = ['.ort', 'comfy', 'python'].map((name) => join(root, name));
  await mkdir(comfy!);
  for (const name of parts) await writeFile(join(comfy!, name), '');
  await writeFile(python!, PYTHON(root, failure));
  await chmod(python!, 0o755);
  const said: string[] = [];
  const install = () =>
    installCuda({
      environment: { FLOWSTEP_PYTHON: python, FLOWSTEP_CUDA_LIBRARIES: comfy },
      packages: packages!,
      platform: 'linux',
      say: (line) => said.push(line),
    });
  return { root, packages: packages!, said, install };
}

test.skipIf(process.platform === 'win32')(
  "with NVIDIA's libraries of ComfyUI only ONNX Runtime is downloaded, into the folder of this package",
  async () => {
    const { root, packages, said, install } = await setUp();
    const { library, wheels } = await install();
    expect(wheels).toEqual(['onnxruntime-gpu==1.30.0']);
    expect(said).toEqual(['downloading onnxruntime-gpu==1.30.0']);
    expect(library).toBe(join(packages, 'onnxruntime/capi/libonnxruntime.so.1.30.0'));
    const args = await readFile(join(root, 'args'), 'utf8');
    expect(args).toContain(`install --target ${packages}.partial --no-deps`);
    // Once is enough.
    expect(await install()).toEqual({ library, wheels: [] });
    expect(said).toHaveLength(1);
  },
);

test.skipIf(process.platform === 'win32')(
  'what is missing comes along, each wheel once',
  async () => {
    const { install } = await setUp({
      parts: ['libcudart.so.13', 'libcudnn.so.9', 'libnvrtc.so.13'],
    });
    const { wheels } = await install();
    expect(wheels).toEqual([
      'onnxruntime-gpu==1.30.0',
      'nvidia-cublas~=13.0',
      'nvidia-curand~=10.0',
    ]);
  },
);

test.skipIf(process.platform === 'win32')('when pip fails, what was there stays', async () => {
  const { packages, install } = await setUp({ failure: 7 });
  await mkdir(packages);
  await writeFile(join(packages, 'before'), '');
  await expect(install()).rejects.toMatchObject({
    code: 'LIBRARY_NOT_FOUND',
    message: expect.stringContaining('pip ended with 7'),
  });
  expect(await readdir(packages)).toEqual(['before']);
});

test('without pip it is said which Python is to be named', async () => {
  const install = installCuda({
    environment: { FLOWSTEP_PYTHON: '/no/python' },
    packages: await tempFolder(),
    platform: 'linux',
    say: () => undefined,
  });
  await expect(install).rejects.toMatchObject({
    message: '/no/python has no pip',
    hint: expect.stringContaining('FLOWSTEP_PYTHON'),
  });
});
