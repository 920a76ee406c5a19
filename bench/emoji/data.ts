/** @file What the experiment works on, made once in its folder: pictures, prompts, and the classifier that judges. */
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Dataset } from '../../src/trainer/data/dataset.ts';
import { openPrompts, type PromptSet, writePrompts } from '../../src/trainer/data/prompts.ts';
import { CAPTIONS } from './captions.ts';
import { trainedClassifier } from './classifier.ts';
import { fetchIcons, fetchTextModel } from './fetch.ts';
import { EmojiMeasure } from './measure.ts';
import { embed } from './minilm.ts';
import { drawPictures, type EmojiPictures, emojiDataset } from './pictures.ts';

export interface EmojiData {
  readonly pictures: EmojiPictures;
  readonly dataset: Dataset;
  readonly prompts: PromptSet;
  readonly folder: string;
}

export async function prepare(folder: string): Promise<EmojiData> {
  await mkdir(folder, { recursive: true });
  const packages = join(folder, 'packages');
  const pictures = await drawPictures(await fetchIcons(packages));
  const file = join(folder, 'prompts.safetensors');
  if (!existsSync(file))
    await writePrompts(file, await embed(await fetchTextModel(packages), CAPTIONS));
  const prompts = await openPrompts(`emoji-${CAPTIONS.length}`, file);
  return { pictures, dataset: emojiDataset(pictures), prompts, folder };
}

export async function openMeasure({ pictures, folder }: EmojiData): Promise<EmojiMeasure> {
  const file = join(folder, `classifier-${pictures.hash.slice(0, 8)}.safetensors`);
  return EmojiMeasure.of(await trainedClassifier(file, pictures), pictures);
}
