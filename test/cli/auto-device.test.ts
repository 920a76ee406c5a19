/** `--device auto` as a user meets it: a driver that crashes does not end the command. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { writeElf } from '../support/elf-library.ts';
import { fakeCuda } from '../support/fake-cuda.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { spawnCli } from './support.ts';

/** The system has a driver of its own, so a stand-in would not be taken. */
const HAS_DRIVER = ['/usr/lib/x86_64-linux-gnu', '/usr/lib64', '/usr/lib/wsl/lib'].some((folder) =>
  existsSync(join(folder, 'libcuda.so.1')),
);
const CAN = process.platform === 'linux' && process.arch === 'x64' && !HAS_DRIVER;

const BENCH = ['bench', '--config', 'mlp-2d', '--seconds', '0.05', '--threads', '1', '--json'];

test.runIf(CAN)('a driver that crashes is told, and another device taken', async () => {
  const { capi, folder } = await fakeCuda([]);
  const name = 'libcuda.so.1';
  const functions = { cuDriverGetVersion: { returns: 0, crashes: true } } as const;
  await writeElf(join(folder, name), { name, functions });
  const { code, stdout, stderr } = await spawnCli([...BENCH, '--device', 'auto'], {
    cwd: await tempFolder(),
    environment: { FLOWSTEP_ORT_CUDA: capi, LD_LIBRARY_PATH: folder },
  });
  expect(code).toBe(0);
  const { device } = JSON.parse(stdout);
  expect(device).toMatch(/^(cpu|webgpu)$/);
  expect(stderr).toContain(`device ${device}: cuda: the test of cuda ended with SIG`);
});

test('a precision that the device does not have is a wrong option', async () => {
  const { code, stderr } = await spawnCli([...BENCH, '--precision', 'bf16'], {
    cwd: await tempFolder(),
  });
  expect(code).toBe(2);
  expect(stderr).toBe(
    'error USAGE: --precision bf16 is not for cpu\nhint: Take fp32 or fp16, or --device cuda.\n',
  );
});
