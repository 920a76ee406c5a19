import { mkdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { FlowstepError } from '../../src/errors.ts';
import type { Check } from '../../src/host/check.ts';
import { checkNode, type DoctorOptions, doctor } from '../../src/host/doctor.ts';
import { nvidiaDriver } from '../../src/host/doctor-devices.ts';
import { cudaPlatform } from '../../src/trainer/runtime/cuda-parts.ts';
import type { Device } from '../../src/trainer/runtime/library.ts';
import { makeRoots } from '../nodes/support.ts';
import { fakeCuda } from '../support/fake-cuda.ts';
import { tempFolder } from '../support/temp-folder.ts';

const WORKS = {
  ...{ library: '/lib/ort.so', version: '1.30.0', threads: 4, runMs: 1.23, productMs: 10 },
  providers: ['WebGpuExecutionProvider', 'CPUExecutionProvider'],
  figures: [1, 2],
};

/** The checks by name; every device works unless `probe` says otherwise. */
async function examine(options: Partial<DoctorOptions> = {}): Promise<Record<string, Check>> {
  const checks = await doctor({
    roots: await makeRoots(),
    environment: {},
    probe: async () => WORKS,
    packages: join(tmpdir(), 'no such packages'),
    ...options,
  });
  return Object.fromEntries(checks.map((check) => [check.name, check]));
}

test('an installation that works has no problems', async () => {
  const checks = await examine();
  expect(Object.keys(checks)).toEqual([
    ...['node', 'flowstep', 'cpu', 'webgpu', 'cuda', 'pictures', 'plots'],
    ...['models', 'output', 'data', 'disk', 'fashion-mnist'],
  ]);
  expect(Object.values(checks).filter(({ status }) => status === 'problem')).toEqual([]);
  expect(checks['cpu']!.message).toBe(
    'ONNX Runtime 1.30.0 (WebGpu, CPU), 4 threads; a test program was right after 1.2 ms, 215 GFLOP/s (/lib/ort.so)',
  );
});

describe('devices', () => {
  const broken = async () => {
    throw new FlowstepError('ENGINE', 'f.cc:136 status was false. No supported adapters\n');
  };
  const only = (works: Device) => async (device: Device) => (device === works ? WORKS : broken());

  test('a processor that does not compute is a problem', async () => {
    const { cpu } = await examine({ probe: broken });
    expect(cpu).toMatchObject({ status: 'problem', message: 'No supported adapters' });
  });

  test('graphics cards are not for everybody', async () => {
    const { cpu, webgpu } = await examine({ probe: only('cpu') });
    expect(cpu!.status).toBe('ok');
    expect(webgpu).toMatchObject({ status: 'warning', hint: expect.stringContaining('driver') });
  });

  test('a device that trains otherwise than the processor is told', async () => {
    const wrong = { ...WORKS, figures: [1, 2.1] };
    const { webgpu } = await examine({
      probe: async (device) => (device === 'webgpu' ? wrong : WORKS),
    });
    expect(webgpu).toMatchObject({
      status: 'warning',
      message: expect.stringContaining('1, 2.1 instead of 1, 2'),
    });
  });

  test.runIf(cudaPlatform())('CUDA that is not installed comes with the command', async () => {
    const { cuda } = await examine();
    expect(cuda).toEqual({
      name: 'cuda',
      status: 'warning',
      message: 'ONNX Runtime with CUDA is not installed; only needed for NVIDIA cards',
      hint: 'Run `flowstep doctor --install cuda`: it downloads about 250 MB.',
    });
    const { cuda: withCard } = await examine({ nvidiaDriver: '580.65.06' });
    expect(withCard!.message).toMatch(/there is an NVIDIA driver \(580\.65\.06\)$/);
  });

  test.runIf(cudaPlatform())(
    'CUDA is tried where it is installed; each part is listed',
    async () => {
      const { capi, folder } = await fakeCuda(['libcudart.so.13', 'cudart64_13.dll']);
      const tried: Device[] = [];
      const checks = await examine({
        environment: { FLOWSTEP_ORT_CUDA: capi, FLOWSTEP_CUDA_LIBRARIES: folder },
        probe: async (device) => {
          tried.push(device);
          return device === 'cuda' ? broken() : WORKS;
        },
      });
      expect(tried).toEqual(['cpu', 'webgpu', 'cuda']);
      expect(checks['cuda']!.message).toBe('No supported adapters');
      const [runtime, curand] = Object.values(checks).filter(({ name }) =>
        /cudart|curand/.test(name),
      );
      expect(runtime).toMatchObject({ status: 'ok', message: expect.stringContaining(folder) });
      expect(curand).toMatchObject({
        status: 'warning',
        message: expect.stringContaining('nvidia-curand'),
        hint: 'Run `flowstep doctor --install cuda`.',
      });
    },
  );

  test('the version of the driver is what its kernel module says', async () => {
    const file = join(await tempFolder(), 'version');
    await writeFile(
      file,
      'NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build\nGCC version: 12\n',
    );
    expect(nvidiaDriver(file)).toBe('580.65.06');
    await writeFile(
      file,
      'NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12\n',
    );
    expect(nvidiaDriver(file)).toBe('535.183.01');
  });
});

describe('folders', () => {
  test('an output folder that is not there yet will be made', async () => {
    const roots = await makeRoots();
    const output = join(roots.output, 'new/deeper');
    const { output: check, disk } = await examine({ roots: { ...roots, output } });
    expect(check).toMatchObject({ status: 'ok', message: `${output} will be made` });
    expect(disk!.message).toMatch(/^[\d.]+ GiB free for /);
  });

  test('an output folder below a file is a problem', async () => {
    const roots = await makeRoots();
    await writeFile(join(roots.data, 'file'), '');
    const { output } = await examine({ roots: { ...roots, output: join(roots.data, 'file/out') } });
    expect(output).toMatchObject({
      status: 'problem',
      hint: 'Set FLOWSTEP_OUTPUT to a folder that may be written.',
    });
  });

  test('a data folder that was named must be there; the usual one need not', async () => {
    const roots = await makeRoots();
    const data = join(roots.data, 'none');
    const { data: usual } = await examine({ roots: { ...roots, data } });
    expect(usual!.status).toBe('ok');
    const environment = { FLOWSTEP_DATA: data };
    const { data: named } = await examine({ roots: { ...roots, data }, environment });
    expect(named).toMatchObject({ status: 'warning', message: `${data} is not there` });
  });

  test('Fashion-MNIST is found in the data folder', async () => {
    const roots = await makeRoots();
    const folder = join(roots.data, 'fashion-mnist');
    await mkdir(folder);
    const images = join(folder, 'train-images-idx3-ubyte.gz');
    await writeFile(images, '');
    await writeFile(join(folder, 'train-labels-idx1-ubyte.gz'), '');
    const { 'fashion-mnist': found } = await examine({ roots });
    expect(found).toEqual({ name: 'fashion-mnist', status: 'ok', message: images });
  });
});

test.each([
  ['20.19.0', 'ok'],
  ['24.1.0', 'ok'],
  ['20.18.3', 'problem'],
  ['18.20.0', 'problem'],
])('Node %s is %s', (version, status) => {
  expect(checkNode(version).status).toBe(status);
});
