/** @file Thins what a node tells, as often as it likes, to what a client can follow. */
import {
  type MonoTypeOperatorFunction,
  merge,
  type Observable,
  Subject,
  take,
  throttle,
  timer,
} from 'rxjs';
import type { MetricsReport, NodeEvents, ProgressReport } from '../protocol/node-host.ts';

/** Ten a second look alive; more only cost. */
const PERIOD_MS = 100;

/** Passes the first value, then the newest of each period, and the last at once when `ended` fires. */
export function latestEach<Value>(
  periodMs: number,
  ended: Observable<unknown>,
): MonoTypeOperatorFunction<Value> {
  return throttle(() => merge(timer(periodMs), ended).pipe(take(1)), {
    leading: true,
    trailing: true,
  });
}

export interface EventStream extends NodeEvents {
  /** Passes on what is held back; whatever the node tells later is lost. */
  end(): void;
}

/** At most ten progress and ten metrics events a second go on to `target`; pictures and texts all do. */
export function thinned(target: NodeEvents): EventStream {
  const ended = new Subject<void>();
  const progress = new Subject<ProgressReport>();
  const metrics = new Subject<MetricsReport>();
  progress.pipe(latestEach(PERIOD_MS, ended)).subscribe((report) => target.progress(report));
  metrics.pipe(latestEach(PERIOD_MS, ended)).subscribe((report) => target.metrics(report));
  let isOpen = true;
  return {
    progress: (report) => progress.next(report),
    metrics: (report) => metrics.next(report),
    preview: (picture) => isOpen && target.preview(picture),
    text: (text) => isOpen && target.text(text),
    end() {
      isOpen = false;
      ended.next();
      for (const subject of [progress, metrics, ended]) subject.complete();
    },
  };
}
