/** @file Numbers as a node shows them. */
import { EVALUATED } from '../src/trainer/run/evaluation-prefix.ts';
import type { Point } from './messages.ts';
import type { Run } from './runs.ts';

/** Significant digits of losses and rates: more would only flicker. */
const DIGITS = 3;

/** For example `1,200 / 4,000`. */
export function stepText(run: Run): string {
  const step = run.points.at(-1)?.step ?? 0;
  return `${step.toLocaleString('en')} / ${run.standing.steps.toLocaleString('en')}`;
}

/** For example `83.1 steps/s, 0:34 left`, or how the run ended. */
export function stateText({ state, standing: { stepsPerSecond, etaSeconds } }: Run): string {
  if (state !== 'running') return state;
  return [
    stepsPerSecond !== undefined && `${numberText(stepsPerSecond)} steps/s`,
    etaSeconds !== undefined && `${clock(etaSeconds)} left`,
  ]
    .filter(Boolean)
    .join(', ');
}

/**
 * The newest score of the run's evaluations and the best before it, such as `FID (NAME) 12.1 at step 400, best 11.9 at
 * step 300`; empty where nothing was evaluated. What decides comes first among an evaluation's metrics: less is better.
 */
export function evaluationText(points: readonly Point[]): string {
  const scores = points.flatMap(({ step, metrics }) => {
    const name = Object.keys(metrics).find((metric) => metric.startsWith(EVALUATED));
    const value = name === undefined ? undefined : metrics[name];
    return name === undefined || typeof value !== 'number' ? [] : [{ name, step, value }];
  });
  const newest = scores.at(-1);
  if (!newest) return '';
  const best = scores.reduce((a, b) => (b.value < a.value ? b : a));
  const told = ({ step, value }: typeof newest) =>
    `${numberText(value)} at step ${step.toLocaleString('en')}`;
  const name = newest.name.slice(EVALUATED.length);
  return [`${name} ${told(newest)}`, ...(best === newest ? [] : [`best ${told(best)}`])].join(', ');
}

/** Three significant digits. */
export function numberText(value: number | null | undefined): string {
  return value === null || value === undefined ? '-' : String(Number(value.toPrecision(DIGITS)));
}

/** What each of three curves has room for in the narrowest node: signs and points are narrow, digits are not. */
export const MAX_LENGTH = 7;
export const MAX_DIGITS = 5;

/** Like `numberText`, with fewer digits or a power of ten where that is too long: `-0.0061`, `-7.9e-4`, `1.2e-12`. */
export function shortText(value: number | null | undefined): string {
  if (value === null || value === undefined) return numberText(value);
  const forms = [DIGITS, 2, 1].flatMap((digits) => [
    numberText(Number(value.toPrecision(digits))),
    value.toExponential(digits - 1).replace('e+', 'e'),
  ]);
  return forms.find(hasRoom) ?? forms.at(-1)!;
}

function hasRoom(form: string): boolean {
  return form.length <= MAX_LENGTH && form.replaceAll(/\D/g, '').length <= MAX_DIGITS;
}

/** h:mm:ss, or m:ss below an hour. */
export function clock(seconds: number): string {
  const whole = Math.max(0, Math.ceil(seconds));
  const minutes = Math.floor(whole / 60);
  const two = (n: number) => String(n).padStart(2, '0');
  return minutes < 60
    ? `${minutes}:${two(whole % 60)}`
    : `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(whole % 60)}`;
}
