/** @file Which of many are looked at where a metric does not look at all. */
import { fillUniform } from '../random/philox.ts';
import { STREAMS } from '../random/streams.ts';

/** Always the same ones, so that all models are compared alike. */
const SEED = 0;
/** Of the stream; the subsets of KID take the first few hundred. */
const STEP = 1000;

/**
 * At most `most` different indices below `count`, rising: one from each of as many equal stretches. The first ones would be
 * of few classes in a set that is in their order, and evenly spaced ones where classes take turns; so each is drawn.
 */
export function spreadIndices(count: number, most: number): number[] {
  const chosen = Math.min(count, most);
  const draws = new Float32Array(chosen);
  fillUniform(draws, SEED, STREAMS.metrics, STEP);
  return Array.from(draws, (draw, i) => {
    const from = Math.floor((i * count) / chosen);
    const to = Math.floor(((i + 1) * count) / chosen);
    return from + Math.floor(draw * (to - from));
  });
}
