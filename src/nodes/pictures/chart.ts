/** @file The one place that knows chart.js and the canvas: renders a chart configuration to a picture, with our own font. */
import { createRequire } from 'node:module';
import { type Canvas, createCanvas, GlobalFonts } from '@napi-rs/canvas';
import {
  Chart,
  type ChartConfiguration,
  type ChartItem,
  type ChartType,
  Legend,
  LinearScale,
  LineController,
  LineElement,
  LogarithmicScale,
  PointElement,
  ScatterController,
  SubTitle,
  Title,
} from 'chart.js';
import type { Point } from './curve.ts';
import type { Picture } from './picture.ts';

const FONT = 'Flowstep Sans';
/** All letters of one width: for tables. */
export const MONO = 'Flowstep Mono';
/** That width, as a share of the font's size. */
export const MONO_ADVANCE = 1233 / 2048;
/** Legible where a plot is shown at half its size on a node. */
const FONT_SIZE = 16;
const TITLE_SIZE = 20;
export const TEXT_COLOUR = '#333333';
export const GRID_COLOUR = '#e6e6e6';
/** For what is there to be compared with. */
export const MUTED_COLOUR = '#808080';

/** Okabe and Ito's palette without its yellow: told apart by colour-blind readers, and dark enough on white. */
export const PALETTE = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#56b4e9', '#e69f00'] as const;

/** `colour` (#rrggbb) at an opacity from 0 to 1. */
export function translucent(colour: string, opacity: number): string {
  return `${colour}${Math.round(opacity * 255)
    .toString(16)
    .padStart(2, '0')}`;
}

let isPrepared = false;

/**
 * Registers what our charts use. The font comes from a package under a name of our own: no font of the system is
 * needed, and one that happens to be installed cannot change a picture.
 */
function prepare(): void {
  if (isPrepared) return;
  const fonts = createRequire(import.meta.url);
  for (const [file, name] of [
    ['DejaVuSans.ttf', FONT],
    ['DejaVuSans-Bold.ttf', FONT],
    ['DejaVuSansMono.ttf', MONO],
  ] as const) {
    GlobalFonts.registerFromPath(fonts.resolve(`dejavu-fonts-ttf/ttf/${file}`), name);
  }
  Chart.register(
    Legend,
    LinearScale,
    LineController,
    LineElement,
    LogarithmicScale,
    PointElement,
    ScatterController,
    SubTitle,
    Title,
  );
  Chart.defaults.font.family = FONT;
  Chart.defaults.font.size = FONT_SIZE;
  Chart.defaults.color = TEXT_COLOUR;
  Chart.defaults.animation = false;
  Chart.defaults.responsive = false;
  Chart.defaults.devicePixelRatio = 1;
  // The reader's language would change the numbers on the axes from one machine to the next.
  Chart.defaults.locale = 'en-US';
  Chart.defaults.layout.padding = 12;
  Chart.defaults.plugins.title.font = { size: TITLE_SIZE, weight: 'bold' };
  isPrepared = true;
}

export interface RenderOptions<T extends ChartType> {
  readonly width: number;
  readonly height: number;
  /** Called after the first layout, when the size of the plot area is known; the chart is then laid out again. */
  readonly afterLayout?: (chart: Chart<T, Point[]>) => void;
}

/** Draws a chart once, on white, without animation. */
export function renderChart<T extends ChartType>(
  config: ChartConfiguration<T, Point[]>,
  { width, height, afterLayout }: RenderOptions<T>,
): Picture {
  prepare();
  const canvas = createCanvas(width, height);
  const whiteGround = {
    id: 'whiteGround',
    beforeDraw: () => {
      const context = canvas.getContext('2d');
      context.fillStyle = '#ffffff';
      context.fillRect(0, 0, width, height);
    },
  };
  const chart = new Chart<T, Point[]>(asChartItem(canvas), {
    ...config,
    plugins: [...(config.plugins ?? []), whiteGround],
  });
  try {
    if (afterLayout !== undefined) {
      afterLayout(chart);
      chart.update();
    }
    return readPixels(canvas);
  } finally {
    chart.destroy();
  }
}

/** chart.js is typed for a browser's canvas; of it, it uses width, height and a 2d context, which this canvas has. */
function asChartItem(canvas: Canvas): ChartItem {
  return canvas as unknown as ChartItem;
}

function readPixels(canvas: Canvas): Picture {
  const { width, height } = canvas;
  const rgba = canvas.getContext('2d').getImageData(0, 0, width, height).data;
  const rgb = new Uint8Array(width * height * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4, to += 3) {
    rgb[to] = rgba[from]!;
    rgb[to + 1] = rgba[from + 1]!;
    rgb[to + 2] = rgba[from + 2]!;
  }
  return { width, height, rgb };
}
