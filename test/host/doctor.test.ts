import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { FlowstepError } from '../../src/errors.ts';
import { type Check, checkNode, type DoctorOptions, doctor } from '../../src/host/doctor.ts';
import type { Device } from '../../src/trainer/runtime/library.ts';
import { makeRoots } from '../nodes/support.ts';

const WORKS = { library: '/lib/ort.so', version: '1.30.0', threads: 4, runMs: 1.23 };

/** The checks by name; every device works unless `probe` says otherwise. */
async function examine(options: Partial<DoctorOptions> = {}): Promise<Record<string, Check>> {
  const checks = await doctor({
    roots: await makeRoots(),
    environment: {},
    probe: async () => WORKS,
    ...options,
  });
  return Object.fromEntries(checks.map((check) => [check.name, check]));
}

test('an installation that works has no problems', async () => {
  const checks = await examine({ environment: { FLOWSTEP_ORT_CUDA: '/lib/cuda.so' } });
  expect(Object.keys(checks)).toEqual([
    ...['node', 'flowstep', 'cpu', 'webgpu', 'cuda', 'pictures', 'plots'],
    ...['models', 'output', 'data', 'disk', 'fashion-mnist'],
  ]);
  expect(Object.values(checks).filter(({ status }) => status === 'problem')).toEqual([]);
  expect(checks['cpu']!.message).toBe(
    'ONNX Runtime 1.30.0, 4 threads; a test program was right after 1.2 ms (/lib/ort.so)',
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
    const { cpu, webgpu, cuda } = await examine({ probe: only('cpu') });
    expect(cpu!.status).toBe('ok');
    expect(webgpu).toMatchObject({ status: 'warning', hint: expect.stringContaining('driver') });
    expect(cuda).toMatchObject({
      status: 'warning',
      hint: expect.stringContaining('FLOWSTEP_ORT_CUDA'),
    });
  });

  test('CUDA is only tried where it was set up', async () => {
    const tried: Device[] = [];
    const probe = async (device: Device) => {
      tried.push(device);
      return WORKS;
    };
    await examine({ probe });
    expect(tried).toEqual(['cpu', 'webgpu']);
    await examine({ probe, environment: { FLOWSTEP_ORT_CUDA: '/lib/cuda.so' } });
    expect(tried).toContain('cuda');
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
