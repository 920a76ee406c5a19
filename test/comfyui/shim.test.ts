/** @file The tests of the shim alone, under pytest in ComfyUI's environment. */
import { spawn } from 'node:child_process';
import { delimiter, join } from 'node:path';
import { expect, test } from 'vitest';
import { tempFolder } from '../support/temp-folder.ts';
import { installedComfyUi, NO_COMFYUI, PACK } from './comfyui.ts';

if (NO_COMFYUI) console.warn(`skipped: ${NO_COMFYUI}`);

const FOLDER = join(PACK, 'test/comfyui');

test.skipIf(NO_COMFYUI)('pytest passes', async () => {
  const comfy = installedComfyUi();
  const python = join(comfy, 'venv/bin/python');
  // ComfyUI's environment stays as it is.
  const packages = await tempFolder();
  const install = ['-m', 'pip', 'install', '--quiet', '--no-deps', '--disable-pip-version-check'];
  await run(python, [...install, '--target', packages, '-r', join(FOLDER, 'requirements.txt')]);
  const paths = [packages, join(comfy, 'ComfyUI')];
  await run(python, ['-m', 'pytest', '-q', '-p', 'no:cacheprovider', FOLDER], paths);
});

/** Runs the program, shows what it says, and fails when it does. */
async function run(program: string, args: string[], paths: string[] = []): Promise<void> {
  const environment = { PYTHONPATH: paths.join(delimiter), PYTHONDONTWRITEBYTECODE: '1' };
  const child = spawn(program, args, {
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const code = await new Promise((resolve, reject) => {
    child.once('error', reject).once('exit', resolve);
  });
  expect(code).toBe(0);
}
