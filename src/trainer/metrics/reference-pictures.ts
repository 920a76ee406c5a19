/** @file The data that pictures are measured against, as an extractor sees it: many models are compared with the same. */
import { bug } from '../../errors.ts';
import type { Dataset } from '../data/dataset.ts';
import { type Shape, sizeOf } from '../tensor.ts';
import { eventLoopTurns } from './event-loop-turns.ts';
import { type ExtractedFeatures, extractFeatures, type FeatureExtractor } from './extractor.ts';
import { type FeatureSource, featuresOfArray } from './feature-source.ts';
import { type FeatureStatistics, featureStatistics } from './feature-statistics.ts';
import { powerSpectrum, type Spectrum } from './power-spectrum.ts';
import { type Pictures, toPictures } from './preprocessing.ts';
import { spreadIndices } from './spread.ts';

/** Pictures in memory at a time. */
export const PICTURES_PART = 500;

/** Pictures whose spectra are averaged: enough for a per cent, and no more as a spectrum takes longer than its features. */
const SPECTRUM_PICTURES = 2000;
/** Spectra between two turns of the event loop. */
const SPECTRUM_PART = 25;

export class ReferencePictures {
  readonly source: FeatureSource;
  #statistics: FeatureStatistics | undefined;

  private constructor(source: FeatureSource) {
    this.source = source;
  }

  /** The last one is kept: rows of a table and evaluations of a run have it in common. Throws INTERRUPTED. */
  static async of(
    dataset: Dataset,
    extractor: FeatureExtractor,
    signal?: AbortSignal,
  ): Promise<ReferencePictures> {
    const key = `${dataset.hash} ${extractor.hash}`;
    if (kept?.key === key) return kept.reference;
    const { features } = await featuresOf(dataset, extractor, signal);
    const source = featuresOfArray(dataset.name, features, extractor.dim);
    const reference = new ReferencePictures(source);
    kept = { key, reference };
    return reference;
  }

  async statistics(signal?: AbortSignal): Promise<FeatureStatistics> {
    this.#statistics ??= await featureStatistics(this.source, signal);
    return this.#statistics;
  }
}

let kept: { readonly key: string; readonly reference: ReferencePictures } | undefined;

function featuresOf(
  { whole, shape }: Dataset,
  extractor: FeatureExtractor,
  signal: AbortSignal | undefined,
): Promise<ExtractedFeatures> {
  if (!whole) throw bug('the reference is no set of pictures');
  async function* parts(): AsyncGenerator<Pictures> {
    for (let from = 0; from < whole!.count; from += PICTURES_PART) {
      const { x } = whole!.range(from, PICTURES_PART);
      const [channels = 0, height = 0, width = 0] = shape;
      yield toPictures(x, [x.length / sizeOf(shape), channels, height, width]);
    }
  }
  return extractFeatures(extractor, parts(), signal);
}

/** The mean spectrum of a set of pictures, which needs no extractor; the last one is kept. Throws INTERRUPTED. */
export async function dataSpectrum(
  { hash, whole, shape }: Dataset,
  signal?: AbortSignal,
): Promise<Spectrum> {
  if (keptSpectrum?.hash === hash) return keptSpectrum.spectrum;
  if (!whole) throw bug('the reference is no set of pictures');
  const size = sizeOf(shape);
  const indices = spectrumIndices(whole.count);
  const chosen = new Float32Array(indices.length * size);
  for (const [i, index] of indices.entries()) chosen.set(whole.range(index, 1).x, i * size);
  const spectrum = await meanSpectrum(chosen, shape, signal);
  keptSpectrum = { hash, spectrum };
  return spectrum;
}

let keptSpectrum: { readonly hash: string; readonly spectrum: Spectrum } | undefined;

/** Mean spectrum of samples [count, ...shape] in [-1, 1]. Throws SHAPE_MISMATCH for what is no squares, and INTERRUPTED. */
export async function meanSpectrum(
  samples: Float32Array,
  shape: Shape,
  signal?: AbortSignal,
): Promise<Spectrum> {
  const size = sizeOf(shape);
  const count = samples.length / size;
  const turn = eventLoopTurns(signal);
  let mean: Spectrum | undefined;
  for (let from = 0; from < count; from += SPECTRUM_PART) {
    await turn();
    const part = Math.min(SPECTRUM_PART, count - from);
    const found = powerSpectrum(samples.subarray(from * size, (from + part) * size), [
      part,
      ...shape,
    ]);
    mean ??= new Float64Array(found.length);
    for (let k = 0; k < found.length; k++) mean[k]! += (found[k]! * part) / count;
  }
  if (!mean) throw bug('a spectrum of no pictures');
  return mean;
}

/** Which of `count` pictures have their spectra taken. */
export function spectrumIndices(count: number): number[] {
  return spreadIndices(count, SPECTRUM_PICTURES);
}
