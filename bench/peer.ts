/** @file What is compared with PyTorch's script in bench/peer, and how it is told of the precision. */
import type { PrecisionName } from '../src/trainer/runtime/providers.ts';

/** The figures that both print: milliseconds, and MiB at the peak. */
export const FIGURES = ['train_ms', 'fgm_ms', 'sample1_ms', 'sample50_ms', 'peak_mib'] as const;

/** Options of the script for our name of a precision; its own default is TF32, where the card has it. */
export function peerPrecision(precision: string): string[] {
  const options: Readonly<Record<string, string[]>> = {
    fp32: ['--no-tf32'],
    bf16: ['--amp', 'bf16'],
    fp16: ['--amp', 'fp16'],
  } satisfies Partial<Record<PrecisionName, string[]>>;
  return options[precision] ?? [];
}

/** Our figures over theirs, where both have one: below 1 is better. */
export function ratios(
  mine: Readonly<Record<string, unknown>>,
  theirs: Readonly<Record<string, unknown>>,
): Record<string, number> {
  return Object.fromEntries(
    FIGURES.flatMap((key) => {
      const [a, b] = [mine[key], theirs[key]];
      return typeof a === 'number' && typeof b === 'number' && a > 0 && b > 0
        ? [[key, Number((a / b).toFixed(3))]]
        : [];
    }),
  );
}
