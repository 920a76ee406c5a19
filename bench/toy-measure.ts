/** @file How far a model's points in the plane are from the data: energy distance and mode shares, over independent draws. */
import { type PointSetName, pointSet } from '../src/trainer/data/points.ts';
import { energyDistance } from '../src/trainer/metrics/energy-distance.ts';
import { modeShares } from '../src/trainer/metrics/mode-shares.ts';
import { fillNormal } from '../src/trainer/random/philox.ts';
import { STREAMS } from '../src/trainer/random/streams.ts';
import type { FlowModel } from '../src/trainer/run/model.ts';
import { sample } from '../src/trainer/run/sample.ts';
import { float32 } from '../src/trainer/tensor.ts';

export const DRAWS = 10;
const SAMPLES = 10_000;
/** Of the Euler solver, for teachers. */
const TEACHER_STEPS = 50;

export interface Measure {
  /** Mean and standard deviation over the draws. */
  readonly energy: number;
  readonly spread: number;
  readonly shares: readonly number[];
}

/** Samples of the model against as many data points that no training has seen, ten times. */
export async function measureToy(model: FlowModel, set: PointSetName): Promise<Measure> {
  const energies: number[] = [];
  const shares: number[][] = [];
  const noiseOf = (draw: number) => {
    const noise = new Float32Array(SAMPLES * 2);
    fillNormal(noise, 1, STREAMS.evaluation, draw);
    return float32(noise, [SAMPLES, 2]);
  };
  for (let draw = 0; draw < DRAWS; draw++) {
    const noise = noiseOf(draw);
    const { student } = model.info;
    const request = student
      ? ({
          solver: 'one-step',
          noise,
          // As many as any student could want; further draws are not used for anything else.
          freshNoise: student.grid.slice(1).map((_, k) => noiseOf(DRAWS * (k + 1) + draw)),
        } as const)
      : ({ solver: 'euler', steps: TEACHER_STEPS, noise } as const);
    const points = (await sample(model, request)).data;
    // Seed 1000 draws data that no training run has seen.
    energies.push(energyDistance(points, pointSet(set).batch(1000, draw, SAMPLES).x, 2));
    shares.push(modeShares(set, points));
  }
  const mean = energies.reduce((a, b) => a + b) / DRAWS;
  const variance = energies.reduce((a, b) => a + (b - mean) ** 2, 0) / (DRAWS - 1);
  const averaged = shares[0]!.map((_, i) => shares.reduce((a, s) => a + s[i]!, 0) / DRAWS);
  return { energy: round(mean), spread: round(Math.sqrt(variance)), shares: averaged.map(round) };
}

/** 95 % interval of the mean energy distance (Student's t with nine degrees of freedom). */
export function interval({ energy, spread }: Measure): readonly [number, number] {
  const half = (2.262 * spread) / Math.sqrt(DRAWS);
  return [round(energy - half), round(energy + half)];
}

/** Four significant digits. */
export const round = (x: number) => Number(x.toPrecision(4));
