/** @file The two plots of the product: points in the plane (2-D samples over their data) and metrics over steps. */
import type { Chart, ChartDataset, Scale } from 'chart.js';
import { FlowstepError } from '../../errors.ts';
import type { Tensor } from '../../trainer/tensor.ts';
import { GRID_COLOUR, MUTED_COLOUR, PALETTE, renderChart, translucent } from './chart.ts';
import { type Point, quantile, thinCurve } from './curve.ts';
import type { Picture } from './picture.ts';

export type Range = readonly [least: number, greatest: number];

export interface ScatterOptions {
  /** Drawn in grey below the points, [M, 2]: the data that they should cover. */
  readonly reference?: Tensor<'float32'>;
  readonly title?: string;
  /** What must be in view. Pass the same for pictures that are compared; found from the points when left out. */
  readonly limits?: { readonly x: Range; readonly y: Range };
}

export interface Series {
  readonly name: string;
  /** One value for each x; null where nothing was measured. */
  readonly values: ArrayLike<number | null>;
}

export interface LinePlotOptions {
  readonly title?: string;
  /** In ascending order. */
  readonly x: ArrayLike<number>;
  readonly series: readonly Series[];
  readonly xLabel?: string;
  readonly yLabel?: string;
  readonly logY?: boolean;
}

const SCATTER_SIZE = { width: 720, height: 760 };
const LINE_SIZE = { width: 960, height: 540 };
/** Space for the labels of the y axis; fixed, so that the plot areas of compared pictures agree. */
const SCATTER_Y_AXIS_WIDTH = 56;
/** Opacity of a single point: 500 of them are seen one by one, of 10,000 the dense places stand out. */
const POINT_OPACITY: Range = [0.2, 0.7];
/** From this many values on, a line is drawn faint below its moving average. */
const SMOOTH_FROM = 100;
const RAW_OPACITY = 0.25;
/** Up to this many values, each is marked: a lone value has no line to be seen by. */
const MARK_UP_TO = 30;
/** Share of raw values at either end that may leave the plot: one spike must not flatten all else. */
const OUTLIER_SHARE = 0.005;
const MARGIN_SHARE = 0.05;
/** Without labels at the ends of an axis, which are rarely round numbers. */
const ROUND_TICKS = { includeBounds: false };

/** Points [N, 2], semi-transparent, in the same unit along both axes so that a circle looks like one. */
export function scatterPlot(points: Tensor<'float32'>, options: ScatterOptions = {}): Picture {
  const samples = planePoints('points', points);
  const data = options.reference ? planePoints('reference', options.reference) : [];
  const inView = [...samples, ...data];
  const x = options.limits?.x ?? roomyRange(inView.map((point) => point.x));
  const y = options.limits?.y ?? roomyRange(inView.map((point) => point.y));

  const layers: ChartDataset<'scatter', Point[]>[] = [dots('samples', samples, PALETTE[0])];
  if (options.reference) layers.push(dots('data', data, MUTED_COLOUR));
  return renderChart<'scatter'>(
    {
      type: 'scatter',
      data: { datasets: layers },
      options: {
        plugins: {
          title: heading(options.title),
          // Shown even when empty, so that the plot area stays the same when there is something to note.
          subtitle: { display: true, text: ' ' },
          legend: {
            display: layers.length > 1,
            position: 'bottom',
            labels: { usePointStyle: true, boxWidth: 10, boxHeight: 10 },
          },
        },
        scales: {
          x: { min: x[0], max: x[1], grid: { color: GRID_COLOUR }, ticks: ROUND_TICKS },
          y: {
            min: y[0],
            max: y[1],
            grid: { color: GRID_COLOUR },
            ticks: ROUND_TICKS,
            afterFit: (scale: Scale) => {
              scale.width = SCATTER_Y_AXIS_WIDTH;
            },
          },
        },
      },
    },
    {
      ...SCATTER_SIZE,
      afterLayout: (chart) => {
        const view = isotropicView(chart, x, y);
        setRange(chart, 'x', view.x);
        setRange(chart, 'y', view.y);
        const subtitle = chart.options.plugins?.subtitle;
        const outside = samples.filter((p) => !isWithin(p.x, view.x) || !isWithin(p.y, view.y));
        const notes = [
          note(points.shape[0]! - samples.length, 'samples that are not finite'),
          note(outside.length, 'samples out of view'),
        ];
        if (subtitle) subtitle.text = joinNotes(notes) || ' ';
      },
    },
  );
}

/** Values over x; long series are thinned to the width of the plot and shown with their moving average. */
export function linePlot(options: LinePlotOptions): Picture {
  const notes: string[] = [];
  const averages: ChartDataset<'line', Point[]>[] = [];
  const raws: ChartDataset<'line', Point[]>[] = [];
  const shownValues: number[] = [];
  options.series.forEach((series, index) => {
    const colour = PALETTE[index % PALETTE.length]!;
    const { points, nonFinite } = measuredPoints(options.x, series);
    notes.push(note(nonFinite, `values of ${series.name} that are not finite`));
    const isSmooth = points.length >= SMOOTH_FROM;
    const curve = thinCurve(points, LINE_SIZE.width);
    const line = drawable(isSmooth ? curve.average : curve.raw, options.logY);
    const raw = drawable(isSmooth ? curve.raw : [], options.logY);
    notes.push(
      note(
        points.length - drawable(points, options.logY).length,
        `values of ${series.name} that are not above 0`,
      ),
    );
    averages.push({
      label: series.name,
      data: line,
      borderColor: colour,
      backgroundColor: colour,
      borderWidth: 2.5,
      pointRadius: line.length <= MARK_UP_TO ? 3 : 0,
    });
    raws.push({
      data: raw,
      borderColor: translucent(colour, RAW_OPACITY),
      borderWidth: 1,
      pointRadius: 0,
    });
    shownValues.push(...line.map((point) => point.y), ...withoutOutliers(raw));
  });

  const y = options.logY ? roomyLogRange(shownValues) : roomyRange(shownValues);
  const isEmpty = shownValues.length === 0;
  const axisTitle = (text: string | undefined) => ({
    display: text !== undefined,
    text: text ?? '',
  });
  return renderChart<'line'>(
    {
      type: 'line',
      // chart.js draws the last data set first, so the averages lie above what they average.
      data: { datasets: [...averages, ...raws] },
      options: {
        parsing: false,
        plugins: {
          title: heading(options.title),
          subtitle: heading(joinNotes(notes) || (isEmpty ? 'nothing to show yet' : '')),
          legend: {
            display: options.series.length > 0,
            position: 'bottom',
            labels: {
              boxWidth: 24,
              boxHeight: 2,
              filter: (item) => (item.datasetIndex ?? 0) < averages.length,
            },
          },
        },
        scales: {
          x: { type: 'linear', title: axisTitle(options.xLabel), grid: { display: false } },
          y: {
            type: options.logY ? 'logarithmic' : 'linear',
            min: y[0],
            max: y[1],
            title: axisTitle(options.yLabel),
            grid: { color: GRID_COLOUR },
            ticks: options.logY ? { callback: logTickLabel(y) } : ROUND_TICKS,
          },
        },
      },
    },
    LINE_SIZE,
  );
}

function heading(text: string | undefined): { display: boolean; text: string } {
  return { display: Boolean(text), text: text ?? '' };
}

function note(count: number, what: string): string {
  return count > 0 ? `${what}: ${count}` : '';
}

function joinNotes(notes: readonly string[]): string {
  return notes.filter(Boolean).join(', ');
}

/** The finite ones among points [N, 2]. */
function planePoints(name: string, points: Tensor<'float32'>): Point[] {
  const [count = 0, dims] = points.shape;
  if (points.shape.length !== 2 || dims !== 2) {
    const shape = points.shape.join(', ');
    throw new FlowstepError(
      'SHAPE_MISMATCH',
      `${name} of shape [${shape}] cannot be plotted: [N, 2] is needed`,
    );
  }
  return Array.from({ length: count }, (_, i) => ({
    x: points.data[2 * i]!,
    y: points.data[2 * i + 1]!,
  })).filter((point) => Number.isFinite(point.x) && Number.isFinite(point.y));
}

function dots(label: string, data: Point[], colour: string): ChartDataset<'scatter', Point[]> {
  const [least, greatest] = POINT_OPACITY;
  const opacity = Math.min(Math.max(40 / Math.sqrt(data.length + 1) - least, least), greatest);
  return {
    label,
    data,
    backgroundColor: translucent(colour, opacity),
    borderWidth: 0,
    pointRadius: data.length > 2000 ? 2 : 3,
  };
}

/** x and y widened about their middle until a unit is as long along one axis as along the other. */
function isotropicView(
  chart: Chart<'scatter', Point[]>,
  x: Range,
  y: Range,
): { x: Range; y: Range } {
  const { width, height } = chart.chartArea;
  const unitsPerPixel = Math.max((x[1] - x[0]) / width, (y[1] - y[0]) / height);
  const widen = (range: Range, pixels: number): Range => {
    const middle = (range[0] + range[1]) / 2;
    return [middle - (unitsPerPixel * pixels) / 2, middle + (unitsPerPixel * pixels) / 2];
  };
  return { x: widen(x, width), y: widen(y, height) };
}

function setRange(chart: Chart<'scatter', Point[]>, axis: 'x' | 'y', [min, max]: Range): void {
  Object.assign(chart.options.scales?.[axis] ?? {}, { min, max });
}

function isWithin(value: number, [least, greatest]: Range): boolean {
  return value >= least && value <= greatest;
}

function measuredPoints(
  x: ArrayLike<number>,
  series: Series,
): { points: Point[]; nonFinite: number } {
  if (series.values.length !== x.length) {
    throw new FlowstepError(
      'SHAPE_MISMATCH',
      `${series.name} has ${series.values.length} values for ${x.length} places on the x axis`,
    );
  }
  const measured = Array.from(series.values, (value, index) => ({ x: x[index]!, y: value })).filter(
    (point): point is Point => point.y !== null,
  );
  // The engine computes in float32: what float32 cannot hold has diverged, and would overflow the axis.
  const points = measured.filter(
    (point) => Number.isFinite(point.x) && Number.isFinite(Math.fround(point.y)),
  );
  return { points, nonFinite: measured.length - points.length };
}

/** A logarithmic axis has no place for 0 and below. */
function drawable(points: readonly Point[], logY: boolean | undefined): Point[] {
  return points.filter((point) => !logY || point.y > 0);
}

function withoutOutliers(points: readonly Point[]): number[] {
  if (points.length === 0) return [];
  const sorted = Float64Array.from(points, (point) => point.y).sort();
  return [quantile(sorted, OUTLIER_SHARE), quantile(sorted, 1 - OUTLIER_SHARE)];
}

/** From the least to the greatest value with a margin; a range of some width also for no value and for equal ones. */
function roomyRange(values: readonly number[]): Range {
  if (values.length === 0) return [0, 1];
  const least = values.reduce((a, b) => Math.min(a, b));
  const greatest = values.reduce((a, b) => Math.max(a, b));
  const margin = (greatest - least) * MARGIN_SHARE || Math.abs(least) * MARGIN_SHARE || 1;
  return [least - margin, greatest + margin];
}

function roomyLogRange(values: readonly number[]): Range {
  if (values.length === 0) return [0.1, 10];
  const [least, greatest] = roomyRange(values.map(Math.log10));
  return [10 ** least, 10 ** greatest];
}

/** Labels for powers of ten; for every round number where the axis spans too few of them. Unlabelled lines are hidden. */
function logTickLabel(range: Range): (value: number | string) => string | null {
  const decades = Math.log10(range[1] / range[0]);
  return (tick) => {
    const value = Number(tick);
    if (value === range[0] || value === range[1]) return null;
    const leading = Number(value.toExponential(2).split('e')[0]);
    const isLabelled =
      decades < 1 || leading === 1 || (decades < 3 && (leading === 2 || leading === 5));
    if (!isLabelled) return null;
    return value >= 1e-4 && value < 1e6
      ? String(Number(value.toPrecision(3)))
      : value.toExponential(0);
  };
}
