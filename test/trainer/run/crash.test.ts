/** What a crash leaves: processes killed, disks full, folders read-only. `npm run verify:resume` does the first many times. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { runDifferences, trainInProcess } from '../../../bench/resume/kill.ts';
import { tempFolder } from '../../support/temp-folder.ts';
import { distill, runToEnd, TINY_DISTILL } from '../../support/training.ts';

test('killed at any moment and resumed: the bits and statistics of the uninterrupted run', async () => {
  const base = await tempFolder();
  const [whole, killed] = [join(base, 'whole'), join(base, 'killed')];
  await trainInProcess('mlp', whole);
  for (const step of [40, 201]) {
    const { wasKilled } = await trainInProcess('mlp', killed, { step, afterMs: 3 });
    expect(wasKilled).toBe(true);
  }
  await trainInProcess('mlp', killed);
  expect(await runDifferences(whole, killed)).toEqual([]);
}, 60_000);

const job = TINY_DISTILL;

const DISK_BYTES = 256 * 1024;

/** A small file system in memory at `folder`; false where this process may not mount one. */
function mountDisk(folder: string): boolean {
  mkdirSync(folder, { recursive: true });
  try {
    const options = ['-t', 'tmpfs', '-o', `size=${DISK_BYTES}`, 'tmpfs', folder];
    execFileSync('mount', options, { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

const base = mkdtempSync(join(tmpdir(), 'flowstep-disk-'));
const disk = join(base, 'disk');
const canMount = mountDisk(disk);
if (canMount) execFileSync('umount', [disk]);
else rmSync(base, { recursive: true });

describe.runIf(canMount)('a small disk', () => {
  const run = {
    folder: join(disk, 'a'),
    resume: 'auto',
    checkpointEvery: 4,
    keepCheckpoints: 2,
    sampleEvery: 0,
  } as const;

  beforeEach(() => {
    mountDisk(disk);
  });
  afterEach(() => {
    execFileSync('umount', [disk]);
  });

  /** Trains until the first checkpoint is there, then does something to the disk, then trains on. */
  async function spoiledAfterFirstCheckpoint(spoil: () => Promise<void> | void) {
    const training = distill(job, { run });
    for (;;) {
      const { value } = await training.next();
      if ('kind' in value && value.kind === 'checkpoint') break;
    }
    await spoil();
    return runToEnd(training);
  }

  test('full: the error names the file, no part of it stays, the checkpoint before loads', async () => {
    const filler = join(disk, 'filler');
    const fill = async () => {
      // Until nothing more goes in; what is left is less than a page.
      for (let size = DISK_BYTES; size >= 1; size >>= 1) {
        await writeFile(filler, Buffer.alloc(size), { flag: 'a' }).catch(() => undefined);
      }
    };
    await expect(spoiledAfterFirstCheckpoint(fill)).rejects.toMatchObject({
      code: 'FILE_UNWRITABLE',
      message: expect.stringMatching(/(checkpoint-000000008\.safetensors|stats\.jsonl).*ENOSPC/),
    });
    const left = await readdir(run.folder);
    expect(left.filter((name) => name.endsWith('.tmp'))).toEqual([]);
    expect(left.filter((name) => name.startsWith('checkpoint'))).toEqual([
      'checkpoint-000000004.safetensors',
    ]);
    await rm(filler);
    const { events, result } = await runToEnd(distill(job, { run }));
    expect(events[0]).toEqual({ kind: 'resumed', step: 4 });
    expect(result.outcome.kind).toBe('finished');
  });

  test('read-only: the error names the file, and the checkpoint before loads', async () => {
    const mount = (...args: string[]) => execFileSync('mount', [...args, run.folder]);
    const spoil = () => {
      mount('--bind', run.folder);
      mount('-o', 'remount,bind,ro');
    };
    await expect(spoiledAfterFirstCheckpoint(spoil)).rejects.toMatchObject({
      code: 'FILE_UNWRITABLE',
      message: expect.stringMatching(/checkpoint-000000008\.safetensors.*EROFS/),
    });
    execFileSync('umount', [run.folder]);
    const { events } = await runToEnd(distill(job, { run }));
    expect(events.find((e) => e.kind === 'resumed')).toEqual({ kind: 'resumed', step: 4 });
  });
});
