/** @file Shows on stderr how a workflow goes: one changing line in a terminal, a line now and then elsewhere. */
import {
  filter,
  type Observable,
  type Subscription,
  switchMap,
  takeUntil,
  throttleTime,
} from 'rxjs';
import type { ExecutionEvent } from '../host/executor.ts';
import type { WorkflowNode } from '../host/workflow.ts';
import type { Log } from '../log.ts';
import type { StepEvent } from '../trainer/run/events.ts';

/** Fast enough to look alive, slow enough not to cost anything. */
const TERMINAL_PERIOD_MS = 100;
/** Logs of long runs should stay readable. */
const PLAIN_PERIOD_MS = 5000;
/** Nodes that take less need no line that says so. */
const WORTH_TELLING_SECONDS = 0.5;

type EventOf<Kind extends ExecutionEvent['kind']> = Extract<ExecutionEvent, { kind: Kind }>;

/** Shows the events until they end. */
export function showProgress(
  events: Observable<ExecutionEvent>,
  log: Log,
  isTerminal: boolean,
): Subscription {
  const period = isTerminal ? TERMINAL_PERIOD_MS : PLAIN_PERIOD_MS;
  const show = isTerminal ? log.status : log.line;
  const only = <Kind extends ExecutionEvent['kind']>(kind: Kind) =>
    events.pipe(filter((event): event is EventOf<Kind> => event.kind === kind));

  /** Of the last step of the node that runs. */
  let metrics: StepEvent['metrics'] = {};
  const lines = events.subscribe((event) => {
    if (event.kind === 'started') {
      log.status(`[${event.index + 1}/${event.count}] ${nameOf(event.node)}`);
      metrics = {};
    }
    if (event.kind === 'progress') metrics = event.progress.metrics;
    if (
      event.kind === 'finished' &&
      (event.seconds >= WORTH_TELLING_SECONDS || event.files.length > 0)
    ) {
      log.line(finishedText(event, metrics));
    }
    if (event.kind === 'notice') log.line(`${nameOf(event.node)}: ${event.message}`);
  });
  // Each node has a throttle of its own, so that nothing of a finished node comes after its end.
  lines.add(
    only('started')
      .pipe(
        switchMap(() =>
          only('progress').pipe(
            throttleTime(period, undefined, { leading: true, trailing: true }),
            takeUntil(only('finished')),
          ),
        ),
      )
      .subscribe(({ node, progress }) => show(progressText(node, progress))),
  );
  return lines;
}

function nameOf(node: WorkflowNode): string {
  return node.title ?? node.type;
}

/** For example `FGM Distill: 48.2 s, loss/online 0.512 -> runs/a/student.safetensors`. */
function finishedText(
  { node, seconds, files }: EventOf<'finished'>,
  metrics: StepEvent['metrics'],
): string {
  const written = files.length > 3 ? `${files.slice(0, 3).join(', ')}...` : files.join(', ');
  const told = [`${nameOf(node)}: ${seconds.toFixed(1)} s`, ...lossTexts(metrics)].join(', ');
  return `${told}${written && ` -> ${written}`}`;
}

/**
 * For example `FGM Distill  1200/4000  loss/online 0.512  83 steps/s  0:34 left`, or `Flow Dataset  reading pictures 20/400
 * 0:02 left`.
 */
export function progressText(node: WorkflowNode, progress: StepEvent): string {
  const { counts, metrics, stepsPerSecond, etaSeconds } = progress;
  const rate = counts === undefined ? [`${Number(stepsPerSecond.toPrecision(3))} steps/s`] : [];
  const left = `${clock(etaSeconds)} left`;
  return [nameOf(node), countText(progress), ...lossTexts(metrics), ...rate, left].join('  ');
}

/** `1200/4000` of a training, `reading pictures 20/400` of what is not. */
export function countText({ counts, step, steps }: Pick<StepEvent, 'counts' | 'step' | 'steps'>) {
  return counts === undefined ? `${step}/${steps}` : `${counts} ${step}/${steps}`;
}

function lossTexts(metrics: StepEvent['metrics']): string[] {
  return Object.entries(metrics)
    .filter(([name]) => /^(loss|distance)\//.test(name))
    .map(([name, value]) => `${name} ${Number(value.toPrecision(4))}`);
}

/** h:mm:ss, or m:ss below an hour. */
function clock(seconds: number): string {
  if (!Number.isFinite(seconds)) return '?';
  const whole = Math.max(0, Math.ceil(seconds));
  const minutes = Math.floor(whole / 60);
  const two = (n: number) => String(n).padStart(2, '0');
  return minutes < 60
    ? `${minutes}:${two(whole % 60)}`
    : `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(whole % 60)}`;
}
