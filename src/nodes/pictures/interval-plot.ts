/** @file A plot of means with their intervals, one line for each thing that is compared. */
import type { Scale } from 'chart.js';
import { GRID_COLOUR, MUTED_COLOUR, PALETTE, renderChart, translucent } from './chart.ts';
import type { Point } from './curve.ts';
import type { Picture } from './picture.ts';

export interface IntervalRow {
  readonly label: string;
  /** Absent when nothing was measured. */
  readonly mean?: number;
  readonly interval?: readonly [low: number, high: number];
  /** What the mean is of. */
  readonly values?: readonly number[];
}

export interface IntervalPlotOptions {
  readonly title: string;
  readonly subtitle?: string;
  /** From top to bottom. */
  readonly rows: readonly IntervalRow[];
}

const WIDTH = 960;
const ROW_HEIGHT = 30;
/** Title, subtitle and the lower axis. */
const FRAME_HEIGHT = 150;
/** Values that differ by more are told apart on a logarithmic axis only. */
const LOG_FROM = 30;
/** Where a line ends for chart.js. */
const GAP: Point = { x: Number.NaN, y: Number.NaN };
const MARGIN_SHARE = 0.05;

/** Dots for the values, a bar for the interval and a mark for the mean; logarithmic where values differ much. */
export function intervalPlot({ title, subtitle, rows }: IntervalPlotOptions): Picture {
  const at = (row: IntervalRow) => rows.indexOf(row);
  const values = rows.flatMap((row) => (row.values ?? []).map((x) => ({ x, y: at(row) })));
  const means = rows.flatMap((row) =>
    row.mean === undefined ? [] : [{ x: row.mean, y: at(row) }],
  );
  const all = [...values, ...means].map(({ x }) => x);
  const isLog = all.every((x) => x > 0) && Math.max(...all) > LOG_FROM * Math.min(...all);
  const ends = isLog ? [] : rows.flatMap(({ interval = [] }) => interval);
  const [least, greatest] = rangeOf([...all, ...ends], isLog);
  const bars = rows.flatMap((row) => {
    const [low, high] = row.interval ?? [];
    if (low === undefined || high === undefined) return [];
    // An interval may reach below 0, where a logarithmic axis has no place: there values alone decide what is in view.
    return [
      { x: Math.max(low, least), y: at(row) },
      { x: Math.min(high, greatest), y: at(row) },
      GAP,
    ];
  });
  return renderChart<'scatter'>(
    {
      type: 'scatter',
      data: {
        datasets: [
          { data: means, backgroundColor: PALETTE[0], pointRadius: 5, borderWidth: 0 },
          {
            data: bars,
            showLine: true,
            spanGaps: false,
            borderColor: PALETTE[0],
            borderWidth: 2.5,
            pointRadius: 0,
          },
          {
            data: values,
            backgroundColor: translucent(MUTED_COLOUR, 0.7),
            pointRadius: 3.5,
            borderWidth: 0,
          },
        ],
      },
      options: {
        plugins: {
          title: { display: true, text: title },
          subtitle: { display: Boolean(subtitle), text: subtitle ?? '' },
          legend: { display: false },
        },
        scales: {
          x: {
            type: isLog ? 'logarithmic' : 'linear',
            min: least,
            max: greatest,
            grid: { color: GRID_COLOUR },
            ticks: { includeBounds: false },
          },
          y: {
            min: -0.5,
            max: Math.max(rows.length, 1) - 0.5,
            reverse: true,
            grid: { color: GRID_COLOUR },
            afterBuildTicks: (scale: Scale) => {
              scale.ticks = rows.map((_, value) => ({ value }));
            },
            ticks: { autoSkip: false, callback: (value) => rows[Number(value)]?.label ?? '' },
          },
        },
      },
    },
    { width: WIDTH, height: FRAME_HEIGHT + ROW_HEIGHT * rows.length },
  );
}

/** The values with some room on both sides; of some width also for no values and for equal ones. */
function rangeOf(values: readonly number[], isLog: boolean): readonly [number, number] {
  if (values.length === 0) return [0, 1];
  const [least, greatest] = [Math.min(...values), Math.max(...values)];
  if (isLog) {
    const room = (greatest / least) ** MARGIN_SHARE;
    return [least / room, greatest * room];
  }
  const room = (greatest - least || Math.abs(least) || 1) * MARGIN_SHARE;
  return [least - room, greatest + room];
}
