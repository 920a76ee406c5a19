/** @file The curves of a run, drawn by uPlot: each faint as measured and clear as its moving average. */
import UPlot from 'uplot';
import type { Curve } from './curves.ts';
import { logRange } from './log-range.ts';
import type { Point } from './messages.ts';
import { smooth } from './points.ts';

const FONT = '10px system-ui, sans-serif';
/** Room for numbers such as 0.012, in pixels, and for a letter of longer ones. */
const AXIS_WIDTH = 40;
const LETTER_WIDTH = 6;
const TICK_WIDTH = 8;
/** Opacity of what is measured, behind its average. */
const FAINT = '55';

export class Chart {
  readonly #element: HTMLElement;
  readonly #curves: readonly Curve[];
  readonly #onCursor: (index: number | undefined) => void;
  #plot: UPlot | undefined;
  #logarithmic = '';

  /** Draws into the element. `onCursor` is told the point under the pointer. */
  constructor(
    element: HTMLElement,
    curves: readonly Curve[],
    onCursor: (index: number | undefined) => void,
  ) {
    this.#element = element;
    this.#curves = curves;
    this.#onCursor = onCursor;
  }

  /** Draws the points; an axis is logarithmic if that is wished for and all its values are positive. */
  draw(points: readonly Point[], logScale: boolean): void {
    const width = this.#element.clientWidth;
    const height = this.#element.clientHeight;
    if (width === 0 || height === 0) return;
    const columns = this.#curves.map(({ metric }) => points.map((p) => p.metrics[metric] ?? null));
    const axes = (['left', 'right'] as const).filter(
      (axis) =>
        logScale &&
        columns.every((column, index) => this.#curves[index]!.axis !== axis || isPositive(column)),
    );
    // uPlot cannot change the kind of an axis afterwards.
    if (this.#plot && axes.join() !== this.#logarithmic) this.destroy();
    this.#logarithmic = axes.join();
    this.#plot ??= this.#create(axes, width, height);
    if (this.#plot.width !== width || this.#plot.height !== height) {
      this.#plot.setSize({ width, height });
    }
    const steps = points.map((point) => point.step);
    this.#plot.setData([steps, ...columns, ...columns.map(smooth)]);
  }

  destroy(): void {
    this.#plot?.destroy();
    this.#plot = undefined;
  }

  #create(logarithmic: readonly Curve['axis'][], width: number, height: number): UPlot {
    // Colours are read whenever something is drawn, as the theme may have changed.
    const ink = () => getComputedStyle(this.#element).color;
    const grid = () => getComputedStyle(this.#element).borderColor;
    const ticks = { stroke: grid, width: 1, size: 4 };
    const axis = { font: FONT, stroke: ink, ticks, gap: 3 };
    const upright = (side: Curve['axis']) => ({
      ...axis,
      scale: side,
      size: (_: UPlot, texts: readonly string[] | null) => axisWidth(texts ?? []),
      values: (_: UPlot, marks: (number | null)[]) => marks.map(tickText),
    });
    const hasRight = this.#curves.some((curve) => curve.axis === 'right');
    const scale = (side: Curve['axis']): UPlot.Scale =>
      logarithmic.includes(side) ? { distr: 3, range: rangeOf } : { distr: 1 };
    return new UPlot(
      {
        width,
        height,
        legend: { show: false },
        // A drag belongs to the graph's canvas.
        cursor: {
          drag: { x: false, y: false },
          y: false,
          move: pointerPosition,
          points: { size: 5 },
        },
        scales: { x: { time: false }, left: scale('left'), right: scale('right') },
        axes: [
          { ...axis, size: 22, grid: { show: false } },
          { ...upright('left'), grid: { stroke: grid, width: 1 } },
          {
            ...upright('right'),
            show: hasRight,
            side: 1,
            grid: { show: false },
          },
        ],
        padding: [8, hasRight ? 0 : 20, 0, 0],
        series: [{}, ...this.#series(FAINT, 1, false), ...this.#series('', 1.75, true)],
        hooks: {
          setCursor: [(plot) => this.#onCursor(plot.cursor.idx ?? undefined)],
        },
      },
      [[]],
      this.#element,
    );
  }

  #series(opacity: string, width: number, isMarked: boolean): UPlot.Series[] {
    return this.#curves.map(({ axis, colour }) => ({
      scale: axis,
      stroke: colour + opacity,
      width,
      spanGaps: false,
      points: { show: isMarked ? undefined : false },
    })) as UPlot.Series[];
  }
}

/** A number that is cut off at its left has lost its sign. */
export function axisWidth(texts: readonly string[]): number {
  const longest = Math.max(0, ...texts.map(({ length }) => length));
  return Math.max(AXIS_WIDTH, TICK_WIDTH + LETTER_WIDTH * longest);
}

/** Short; uPlot gives null for marks without text. */
function tickText(value: number | null): string {
  if (value === null) return '';
  const isSmall = value !== 0 && Math.abs(value) < 0.001;
  return isSmall ? value.toExponential(0) : String(Number(value.toPrecision(3)));
}

/** Around the values, where uPlot would go on to the next powers of ten. */
function rangeOf(plot: UPlot, _: number | null, __: number | null, key: string): [number, number] {
  const values = plot.data
    .filter((___, index) => plot.series[index]!.scale === key)
    .flatMap((column) => [...column].filter((value) => typeof value === 'number'));
  return logRange(values);
}

function isPositive(values: readonly (number | null)[]): boolean {
  return values.every((value) => value === null || value > 0);
}

/** The canvas moves and scales its widgets, which uPlot does not notice: positions are brought back to its pixels. */
function pointerPosition(plot: UPlot, left: number, top: number): [number, number] {
  const { event } = plot.cursor;
  if (!event) return [left, top];
  const shown = plot.over.getBoundingClientRect();
  const scale = shown.width / plot.over.offsetWidth || 1;
  return [(event.clientX - shown.left) / scale, (event.clientY - shown.top) / scale];
}
