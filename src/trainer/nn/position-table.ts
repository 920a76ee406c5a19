/** @file The fixed positions of a square grid: sines and cosines of row and column (DiT's and Stable Diffusion 3's form). */

/** [side * side, width] in row-major order: the first half of the width for the column, the second for the row. */
export function positionTable(side: number, width: number): Float32Array {
  const half = width / 2;
  const line = waves(side, half);
  const table = new Float32Array(side * side * width);
  for (let row = 0; row < side; row++) {
    for (let col = 0; col < side; col++) {
      const at = (row * side + col) * width;
      table.set(line.subarray(col * half, (col + 1) * half), at);
      table.set(line.subarray(row * half, (row + 1) * half), at + half);
    }
  }
  return table;
}

/** sin, then cos, of p / 10000^(i / n) for p below `count`, with n = width / 2: [count, width]. */
function waves(count: number, width: number): Float32Array {
  const n = width / 2;
  const line = new Float32Array(count * width);
  for (let p = 0; p < count; p++) {
    for (let i = 0; i < n; i++) {
      const angle = p / 10_000 ** (i / n);
      line[p * width + i] = Math.sin(angle);
      line[p * width + n + i] = Math.cos(angle);
    }
  }
  return line;
}
