/** @file A plot of scores over costs, both on logarithmic axes: a line for each thing that is compared. */
import { GRID_COLOUR, PALETTE, renderChart } from './chart.ts';
import type { Point } from './curve.ts';
import type { Picture } from './picture.ts';

export interface ScorePlotOptions {
  readonly title: string;
  readonly xLabel: string;
  /** Of x above 0. */
  readonly series: readonly { readonly name: string; readonly points: readonly Point[] }[];
}

const SIZE = { width: 960, height: 540 };
/** Room at both ends of an axis, as a share of its length. */
const MARGIN_SHARE = 0.05;

/** Where a score is not above 0, as KID may be, its axis is linear. */
export function scorePlot({ title, xLabel, series }: ScorePlotOptions): Picture {
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
      options: {
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
    SIZE,
  );
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
