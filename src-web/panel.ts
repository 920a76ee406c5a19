/** @file What a training node shows while it runs: step, rate, time left, and the curves of its losses. */
import { Chart } from './chart.ts';
import type { Curve } from './curves.ts';
import { guarded } from './guard.ts';
import type { Run } from './runs.ts';
import { evaluationText, shortText, stateText, stepText } from './text.ts';

export class Panel {
  readonly element = element('div', 'flowstep-live');
  readonly #curves: readonly Curve[];
  readonly #step = element('span', 'flowstep-step');
  readonly #state = element('span', 'flowstep-state');
  readonly #bar = element('div', 'flowstep-bar');
  readonly #log = document.createElement('input');
  readonly #values: readonly HTMLElement[];
  readonly #evaluation = element('div', 'flowstep-evaluation');
  readonly #note = element('div', 'flowstep-note');
  readonly #chart: Chart;
  readonly #observer: ResizeObserver;
  #run: Run | undefined;
  #cursor: number | undefined;
  #isScheduled = false;

  constructor(curves: readonly Curve[]) {
    this.#curves = curves;
    this.#values = curves.map(() => element('span', 'flowstep-value'));
    const plot = element('div', 'flowstep-plot');
    this.#note.textContent = 'The losses appear here while it trains.';
    this.#log.type = 'checkbox';
    // The distance falls over powers of ten.
    this.#log.checked = curves.some((curve) => curve.axis === 'right');
    this.#log.addEventListener('change', () => this.#schedule());
    const log = element('label', 'flowstep-log');
    log.title = 'Logarithmic axes, where all values are positive';
    log.append(this.#log, 'log');
    const status = element('div', 'flowstep-status');
    status.append(this.#step, this.#state, log);
    const legend = element('div', 'flowstep-legend');
    legend.append(...curves.map((curve, index) => legendEntry(curve, this.#values[index]!)));
    const track = element('div', 'flowstep-track');
    track.append(this.#bar);
    this.element.append(status, track, legend, this.#evaluation, plot, this.#note);
    this.#chart = new Chart(plot, curves, (index) => {
      this.#cursor = index;
      this.#write();
    });
    this.#observer = new ResizeObserver(() => this.#schedule());
    this.#observer.observe(plot);
    this.show(undefined);
  }

  /** What it shows. */
  get run(): Run | undefined {
    return this.#run;
  }

  /** Shows a run, or none. Call it again when the run has changed. */
  show(run: Run | undefined): void {
    this.#run = run;
    this.element.dataset['state'] = run?.state ?? 'empty';
    this.#schedule();
  }

  destroy(): void {
    this.#observer.disconnect();
    this.#chart.destroy();
  }

  /** However often something changes, the screen is drawn once. */
  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    requestAnimationFrame(
      guarded('drawing', () => {
        this.#isScheduled = false;
        this.#write();
        this.#chart.draw(this.#run?.points ?? [], this.#log.checked);
      }),
    );
  }

  #write(): void {
    const run = this.#run;
    const points = run?.points ?? [];
    const under = this.#cursor === undefined ? undefined : points[this.#cursor];
    this.#step.textContent = run ? `step ${stepText(run)}` : '';
    this.#state.textContent = run
      ? under
        ? `at step ${under.step.toLocaleString('en')}`
        : stateText(run)
      : '';
    this.#evaluation.textContent = evaluationText(points);
    const done = run ? (points.at(-1)?.step ?? 0) / run.standing.steps : 0;
    this.#bar.style.width = `${(100 * Math.min(1, done)).toFixed(1)}%`;
    const metrics = (under ?? points.at(-1))?.metrics;
    this.#curves.forEach((curve, index) => {
      this.#values[index]!.textContent = run ? shortText(metrics?.[curve.metric]) : '';
    });
  }
}

function legendEntry(curve: Curve, value: HTMLElement): HTMLElement {
  const entry = element('span', 'flowstep-entry');
  entry.title = curve.tooltip;
  const swatch = element('span', 'flowstep-swatch');
  swatch.style.background = curve.colour;
  entry.append(swatch, curve.label, value);
  return entry;
}

function element(tag: 'div' | 'span' | 'label', className: string): HTMLElement {
  const created = document.createElement(tag);
  created.className = className;
  return created;
}
