/** `npm run verify:cuda` on the processor: what it measures on a card, it writes of any device. */
import { spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { tempFolder } from './support/temp-folder.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

test('curves, speed and roofline come in one file; a row that fails is a row', async () => {
  const out = join(await tempFolder(), 'rows.json');
  const { status, stderr } = spawnSync(
    process.execPath,
    [
      ...['--import', 'tsx', 'bench/cuda-rows.ts', '--out', out, '--device', 'cpu'],
      ...[
        '--seconds',
        '0.05',
        '--curves',
        'mlp-2d',
        '--configs',
        'mlp-2d,none',
        '--precisions',
        'fp32',
      ],
    ],
    { cwd: ROOT, encoding: 'utf8', env: { ...process.env, BENCH_PYTHON: '' } },
  );
  expect({ status, stderr }).toMatchObject({ status: 0 });
  const report = JSON.parse(await readFile(out, 'utf8'));
  expect(report.correctness['mlp-2d fp32']).toMatchObject({ isRight: true, online: 0 });
  expect(report.correctness['mlp-2d fp32'].found.online).toHaveLength(20);
  const { flowstep } = report.speed['mlp-2d fp32'];
  expect(flowstep).toMatchObject({ device: 'cpu', precision: 'fp32', config: 'mlp-2d' });
  expect(flowstep.roofline.share_of_matmul).toBeGreaterThan(0);
  expect(report.speed['none fp32'].flowstep.error.message).toContain('usage: cuda-row');
  expect(report.done).toEqual({ isWhole: true });
});
