/** @file Settings whose student is a normal distribution or a mixture of them: x0 = m_k + s_k z, with a closed-form velocity. */
import { add, matMul, mul } from '../graph/ops.ts';
import type { Scope } from '../nn/parameters.ts';
import { velocityOfNormals } from './exact-velocity.ts';
import { type Latents, parametersOf, type Setting, TIMES, type Velocity } from './setting.ts';

/** K equally likely normal distributions with independent axes: means and deviations [K][D]. */
export interface Normals {
  readonly means: readonly (readonly number[])[];
  readonly deviations: readonly (readonly number[])[];
}

/** Intervals of Simpson's rule over the times; the integrands are smooth, so the error is below 1e-9 of them. */
const INTERVALS = 4000;

/** A setting in which teacher and student are `normals`. */
export function normalsSetting(
  name: string,
  title: string,
  teacher: Normals,
  student: Normals,
): Setting {
  const dim = student.means[0]!.length;
  const parts = student.means.length;
  const velocityOf = ({ means: { length } }: Normals) => {
    const velocity: Velocity = (scope, x, t) => {
      const { means, deviations } = declare(scope, length, dim);
      return velocityOfNormals(x, t, means, deviations);
    };
    return { velocity, list: parametersOf((scope) => declare(scope, length, dim)) };
  };
  const sample = (scope: Scope, { z, part }: Latents) => {
    const { means, deviations } = declare(scope, parts, dim);
    return add(matMul(part!, means), mul(matMul(part!, deviations), z));
  };
  const implicit = velocityOf(student);
  return {
    name,
    title,
    shape: [dim],
    teacher: { ...velocityOf(teacher), values: flat(teacher) },
    student: { list: implicit.list, values: flat(student), sample },
    implicit,
    latents: { parts },
    law: async (values) => values,
    ...(parts === 1 &&
      teacher.means.length === 1 && {
        objective: (values) => distanceOfTwo(flat(teacher), values),
      }),
  };
}

function declare(scope: Scope, parts: number, dim: number) {
  const parameter = (name: string) => scope.parameter(name, [parts, dim], { kind: 'zeros' });
  return { means: parameter('means'), deviations: parameter('deviations') };
}

function flat({ means, deviations }: Normals): Float64Array {
  return Float64Array.from([...means.flat(), ...deviations.flat()]);
}

/**
 * E |u - v|^2 along the path from the normal distribution `student` (means, then deviations), for the flows u of `teacher`
 * and v of the student: both are affine, axis by axis.
 */
function distanceOfTwo(teacher: Float64Array, student: Float64Array): number {
  const dim = student.length / 2;
  return overTimes((t) => {
    let sum = 0;
    for (let axis = 0; axis < dim; axis++) {
      const u = affine(teacher[axis]!, teacher[dim + axis]!, t);
      const v = affine(student[axis]!, student[dim + axis]!, t);
      const slope = u.slope - v.slope;
      const mean = slope * (1 - t) * student[axis]! + u.offset - v.offset;
      sum += slope ** 2 * v.variance + mean ** 2;
    }
    return sum;
  });
}

/** Slope, offset and variance of the velocity slope x + offset at time t of the path from N(m, s^2). */
function affine(m: number, s: number, t: number) {
  const variance = (1 - t) ** 2 * s ** 2 + t ** 2;
  const slope = (t - (1 - t) * s ** 2) / variance;
  return { slope, offset: -m - slope * (1 - t) * m, variance };
}

/** Mean of f over the times, by Simpson's rule. */
function overTimes(f: (t: number) => number): number {
  const { min, max } = TIMES;
  const width = (max - min) / INTERVALS;
  let sum = f(min) + f(max);
  for (let i = 1; i < INTERVALS; i++) sum += (i % 2 === 1 ? 4 : 2) * f(min + i * width);
  return sum / (3 * INTERVALS);
}
