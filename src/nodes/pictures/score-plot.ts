/**
 * @file A plot of scores over costs, both on logarithmic axes: a line for each thing that is compared, and all figures as a table
 * below.
 */
import type { Plugin } from 'chart.js';
import { GRID_COLOUR, MONO, MONO_ADVANCE, PALETTE, renderChart, TEXT_COLOUR } from './chart.ts';
import type { Point } from './curve.ts';
import type { Picture } from './picture.ts';

export interface ScorePlotOptions {
  readonly title: string;
  readonly xLabel: string;
  /** Of x above 0. */
  readonly series: readonly { readonly name: string; readonly points: readonly Point[] }[];
  /** Lines of a table, their columns in line. */
  readonly table: readonly string[];
}

/** Of the plot; a table makes the picture higher, and wider if need be. */
const SIZE = { width: 960, height: 540 };
const PADDING = 12;
const TABLE_FONT_SIZE = 15;
const TABLE_LINE_HEIGHT = 22;
/** Room at both ends of an axis, as a share of its length. */
const MARGIN_SHARE = 0.05;

/** Where a score is not above 0, as KID may be, its axis is linear. */
export function scorePlot({ title, xLabel, series, table }: ScorePlotOptions): Picture {
  const all = series.flatMap(({ points }) => points);
  const isLog = all.every(({ y }) => y > 0);
  const xs = [...new Set(all.map(({ x }) => x))].sort((a, b) => a - b);
  const x = rangeOf(xs, true);
  const y = rangeOf(
    all.map((point) => point.y),
    isLog,
  );
  return renderChart<'scatter'>(
    {
      type: 'scatter',
      data: {
        datasets: series.map(({ name, points }, i) => {
          const colour = PALETTE[i % PALETTE.length]!;
          return {
            label: name,
            data: [...points].sort((a, b) => a.x - b.x),
            showLine: true,
            borderColor: colour,
            backgroundColor: colour,
            borderWidth: 2.5,
            // What has one point has no line to be seen by.
            pointRadius: points.length === 1 ? 8 : 4,
          };
        }),
      },
      plugins: [below(table)],
      options: {
        layout: { padding: { ...EVEN_PADDING, bottom: PADDING + heightOf(table) } },
        plugins: {
          title: { display: true, text: title },
          legend: {
            display: series.length > 1,
            position: 'bottom',
            labels: { usePointStyle: true, boxWidth: 10, boxHeight: 10 },
          },
        },
        scales: {
          x: {
            type: 'logarithmic',
            min: x[0],
            max: x[1],
            title: { display: true, text: xLabel },
            grid: { display: false },
            afterBuildTicks: (scale) => {
              scale.ticks = xs.map((value) => ({ value }));
            },
            ticks: { callback: (value) => String(value) },
          },
          y: {
            type: isLog ? 'logarithmic' : 'linear',
            min: y[0],
            max: y[1],
            grid: { color: GRID_COLOUR },
            ticks: {
              includeBounds: false,
              maxTicksLimit: 8,
              // The ends of a logarithmic axis are no round numbers.
              callback: (value) =>
                value === y[0] || value === y[1]
                  ? null
                  : String(Number(Number(value).toPrecision(3))),
            },
          },
        },
      },
    },
    {
      width: Math.max(SIZE.width, widthOf(table) + 2 * TABLE_INDENT),
      height: SIZE.height + heightOf(table),
    },
  );
}

const EVEN_PADDING = { top: PADDING, left: PADDING, right: PADDING };
const TABLE_INDENT = 2 * PADDING;

const heightOf = (table: readonly string[]) => table.length * TABLE_LINE_HEIGHT;

const widthOf = (table: readonly string[]) =>
  Math.ceil(Math.max(0, ...table.map(({ length }) => length)) * TABLE_FONT_SIZE * MONO_ADVANCE);

/** Draws a table into the room under the plot. */
function below(table: readonly string[]): Plugin<'scatter'> {
  return {
    id: 'table',
    afterDraw: ({ ctx, height }) => {
      ctx.font = `${TABLE_FONT_SIZE}px "${MONO}"`;
      ctx.fillStyle = TEXT_COLOUR;
      ctx.textAlign = 'left';
      ctx.textBaseline = 'bottom';
      const end = height - PADDING;
      for (const [i, line] of table.entries()) {
        ctx.fillText(line, TABLE_INDENT, end - (table.length - 1 - i) * TABLE_LINE_HEIGHT);
      }
    },
  };
}

/** The values with some room; of some width also for none and for equal ones. */
function rangeOf(values: readonly number[], isLog: boolean): readonly [number, number] {
  if (values.length === 0) return isLog ? [1, 10] : [0, 1];
  const [least, greatest] = [Math.min(...values), Math.max(...values)];
  if (isLog) {
    const room = greatest > least ? (greatest / least) ** MARGIN_SHARE : 2;
    return [least / room, greatest * room];
  }
  const room = (greatest - least || Math.abs(least) || 1) * MARGIN_SHARE;
  return [least - room, greatest + room];
}
