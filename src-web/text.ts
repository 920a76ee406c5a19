/** @file Numbers as a node shows them. */
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

/** Three significant digits. */
export function numberText(value: number | null | undefined): string {
  return value === null || value === undefined ? '-' : String(Number(value.toPrecision(DIGITS)));
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
