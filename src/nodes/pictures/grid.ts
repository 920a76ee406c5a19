/** @file Many small samples in one picture. */
import { FlowstepError } from '../../errors.ts';
import type { Tensor } from '../../trainer/tensor.ts';
import { imageTensorToPictures, type Picture, samplesToImageTensor } from './picture.ts';

export interface GridOptions {
  /** Samples in a row; near-square when left out. */
  readonly columns?: number;
  /** Whole-number enlargement; small samples are enlarged until the grid fills about TARGET_WIDTH when left out. */
  readonly scale?: number;
}

/** Width that an automatic scale aims at: readable on a page, small enough to send while training. */
const TARGET_WIDTH = 768;
/** Beyond this, more enlargement only shows larger squares. */
const MAX_AUTO_SCALE = 8;
/** Pixels between neighbours, not enlarged. */
const GAP = 2;
/** Between the black ground of Fashion-MNIST and the white of a page, so that the gap shows on both. */
const GAP_GREY = 200;

/** Samples [N, 1 or 3, H, W] in [-1, 1] side by side, row by row, enlarged without blurring. */
export function pictureGrid(samples: Tensor<'float32'>, options: GridOptions = {}): Picture {
  return gridOf(imageTensorToPictures(samplesToImageTensor(samples)), options);
}

/** Pictures of one size side by side, row by row. */
export function gridOf(pictures: readonly Picture[], options: GridOptions = {}): Picture {
  const [first] = pictures;
  if (first === undefined || first.rgb.length === 0) {
    throw new FlowstepError('VALUE_OUT_OF_RANGE', 'there is no sample to show', {
      hint: 'Ask for at least one sample.',
    });
  }
  const columns = Math.min(options.columns ?? tidyColumns(pictures.length), pictures.length);
  const scale =
    options.scale ??
    Math.min(Math.max(Math.floor(TARGET_WIDTH / (columns * first.width)), 1), MAX_AUTO_SCALE);
  requireCount('columns', columns);
  requireCount('scale', scale);

  const cellWidth = first.width * scale + GAP;
  const cellHeight = first.height * scale + GAP;
  const width = columns * cellWidth - GAP;
  const height = Math.ceil(pictures.length / columns) * cellHeight - GAP;
  const grid = { width, height, rgb: new Uint8Array(width * height * 3).fill(GAP_GREY) };
  pictures.forEach((picture, index) => {
    const left = (index % columns) * cellWidth;
    const top = Math.floor(index / columns) * cellHeight;
    pasteEnlarged(grid, picture, left, top, scale);
  });
  return grid;
}

/** Of the near-square layouts, at most half again as wide as the square one, that which leaves the fewest cells empty. */
function tidyColumns(count: number): number {
  const square = Math.ceil(Math.sqrt(count));
  let best = square;
  for (let columns = square; columns <= Math.ceil(1.5 * Math.sqrt(count)); columns++) {
    if (emptyCells(count, columns) < emptyCells(count, best)) best = columns;
  }
  return best;
}

function emptyCells(count: number, columns: number): number {
  return Math.ceil(count / columns) * columns - count;
}

/** Nearest neighbour: each source pixel becomes a square of `scale` x `scale`. */
function pasteEnlarged(
  target: Picture,
  source: Picture,
  left: number,
  top: number,
  scale: number,
): void {
  for (let y = 0; y < source.height * scale; y++) {
    const sourceRow = Math.floor(y / scale) * source.width;
    const targetRow = (top + y) * target.width + left;
    for (let x = 0; x < source.width * scale; x++) {
      const from = (sourceRow + Math.floor(x / scale)) * 3;
      const to = (targetRow + x) * 3;
      target.rgb[to] = source.rgb[from]!;
      target.rgb[to + 1] = source.rgb[from + 1]!;
      target.rgb[to + 2] = source.rgb[from + 2]!;
    }
  }
}

function requireCount(field: string, value: number): void {
  if (Number.isInteger(value) && value >= 1) return;
  throw new FlowstepError(
    'VALUE_OUT_OF_RANGE',
    `${field} is ${value}; a whole number from 1 on is needed`,
    {
      field,
    },
  );
}
