/** @file Memory of an NVIDIA card that is taken, as its driver counts. */
import { spawnSync } from 'node:child_process';

const MIB = 2 ** 20;

/** MiB taken by all programs together on the card that this process uses; undefined without the driver's own tool. */
export function cardMemoryMib(): number | undefined {
  return ask('memory.used');
}

/** Bytes of that card's memory; undefined likewise. */
export function cardMemoryBytes(): number | undefined {
  const mib = ask('memory.total');
  return mib === undefined ? undefined : mib * MIB;
}

function ask(what: string): number | undefined {
  const card = process.env['CUDA_VISIBLE_DEVICES']?.split(',')[0] || '0';
  const query = [`--query-gpu=${what}`, '--format=csv,noheader,nounits', `--id=${card}`];
  const { status, stdout } = spawnSync('nvidia-smi', query, { encoding: 'utf8' });
  const mib = status === 0 ? Number.parseInt(stdout, 10) : Number.NaN;
  return Number.isFinite(mib) ? mib : undefined;
}
