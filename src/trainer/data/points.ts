/** @file Sets of points in the plane on which a method can be tried in a minute. */
import { sha256 } from '../files/hash.ts';
import { fillNormal, fillUniform } from '../random/philox.ts';
import { STREAMS } from '../random/streams.ts';
import type { Batch, Dataset } from './dataset.ts';

export const POINT_SET_NAMES = ['8g', 'moons', 'checker'] as const;
export type PointSetName = (typeof POINT_SET_NAMES)[number];

/** Eight normal distributions around a circle. */
export const EIGHT_GAUSSIANS = { modes: 8, radius: 2, deviation: 0.15 } as const;

/** Two half circles of radius `scale`, the second being the first turned by 180 degrees about the origin. */
export const MOONS = { modes: 2, scale: 1.5, centre: [-0.5, -0.25], deviation: 0.08 } as const;

/** Eight unit squares of a board of four by four over [-2, 2] x [-2, 2]. */
export const CHECKER = { modes: 8, columns: 4 } as const;

interface PointSet {
  /** All that defines the set, for its hash. */
  readonly definition: unknown;
  /** Uniform numbers for each point, and the standard deviation of the noise on both coordinates. */
  readonly uniforms: number;
  readonly deviation: number;
  /** Writes point i of `x` from the uniform numbers u[i * uniforms ...]. */
  place(x: Float32Array, i: number, u: Float32Array): void;
}

const POINT_SETS: Record<PointSetName, PointSet> = {
  '8g': {
    definition: EIGHT_GAUSSIANS,
    uniforms: 1,
    deviation: EIGHT_GAUSSIANS.deviation,
    place(x, i, u) {
      const { modes, radius } = EIGHT_GAUSSIANS;
      const angle = (Math.floor(u[i]! * modes) * 2 * Math.PI) / modes;
      x[2 * i] = radius * Math.cos(angle);
      x[2 * i + 1] = radius * Math.sin(angle);
    },
  },
  moons: {
    definition: MOONS,
    uniforms: 2,
    deviation: MOONS.deviation,
    place(x, i, u) {
      const { scale, centre } = MOONS;
      const angle = u[2 * i]! * Math.PI;
      const side = u[2 * i + 1]! < 0.5 ? scale : -scale;
      x[2 * i] = side * (centre[0] + Math.cos(angle));
      x[2 * i + 1] = side * (centre[1] + Math.sin(angle));
    },
  },
  checker: {
    definition: CHECKER,
    uniforms: 3,
    deviation: 0,
    place(x, i, u) {
      const horizontal = CHECKER.columns * u[3 * i]! - 2;
      const lower = u[3 * i + 2]! < 0.5 ? 0 : 2;
      x[2 * i] = horizontal;
      // Columns take turns: the squares of every other one lie one higher.
      x[2 * i + 1] = u[3 * i + 1]! - lower + (Math.floor(horizontal) & 1);
    },
  },
};

/** The set of that name: points [2] without labels; point i of a batch does not depend on how many are drawn. */
export function pointSet(name: PointSetName): Dataset {
  const set = POINT_SETS[name];
  return {
    name,
    shape: [2],
    classes: 0,
    hash: sha256(JSON.stringify([name, set.definition])),
    batch: (seed, step, count) => draw(set, seed, step, count),
  };
}

function draw(set: PointSet, seed: number, step: number, count: number): Batch {
  const u = new Float32Array(count * set.uniforms);
  fillUniform(u, seed, STREAMS.data, step);
  const x = new Float32Array(2 * count);
  for (let i = 0; i < count; i++) set.place(x, i, u);
  if (set.deviation > 0) {
    const noise = new Float32Array(x.length);
    fillNormal(noise, seed, STREAMS.dataNoise, step);
    for (let i = 0; i < x.length; i++) x[i]! += set.deviation * noise[i]!;
  }
  return { x };
}
