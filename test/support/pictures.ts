/** @file Folders of small pictures for data set tests. */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import sharp, { type Sharp } from 'sharp';

/** PNG of one colour. */
export function plainPng(
  colour: string,
  { width, height }: { width: number; height: number } = { width: 4, height: 4 },
): Promise<Buffer> {
  return sharp({ create: { width, height, channels: 3, background: colour } })
    .png()
    .toBuffer();
}

/** Pixels given row by row, three bytes each. */
export function rawPicture(width: number, height: number, rgb: readonly number[]): Sharp {
  return sharp(Uint8Array.from(rgb), { raw: { width, height, channels: 3 } });
}

/** Writes files into `folder` by relative path, making the folders between. */
export async function writeFiles(
  folder: string,
  files: Readonly<Record<string, Uint8Array | string>>,
): Promise<void> {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), content);
  }
}
