/** A card that computes nothing is found out before anybody computes on it. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { tempFolder } from '../support/temp-folder.ts';
import { NO_CUDA } from './card.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

const TEACHER = fileURLToPath(new URL('../../models/fashion/teacher.safetensors', import.meta.url));

/** Ended after a minute, in which any of these is over. */
const flowstep = (...args: string[]) =>
  promisify(execFile)(process.execPath, ['--import', 'tsx', MAIN, ...args], {
    timeout: 60_000,
  });

describe.skipIf(NO_CUDA)('a card that computes nothing', () => {
  test('is refused by doctor, with what to do', async () => {
    const { stdout } = await flowstep('doctor');
    expect(stdout).toMatch(/^warning +cuda +a test program gave 0 where .*\n.*update the driver/m);
  });

  test('is not taken by --device auto', async () => {
    const args = ['--device', 'auto', '--config', 'mlp-2d', '--seconds', '0.05', '--json'];
    const { stdout, stderr } = await flowstep('bench', ...args);
    expect(JSON.parse(stdout)).toMatchObject({ device: expect.not.stringMatching('cuda') });
    expect(stderr).toMatch(/^device \w+: cuda: a test program gave 0 where /m);
  });

  test('does not keep a process that has nothing to compute', async () => {
    // The network has no such layers, which is found out once the device is there.
    const args = ['--teacher', TEACHER, '--lora-rank', '4', '--steps', '1', '--device', 'cuda'];
    const failure = flowstep('distill', ...args, '--out', await tempFolder());
    await expect(failure).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringContaining('no linear layer'),
    });
  });
});
