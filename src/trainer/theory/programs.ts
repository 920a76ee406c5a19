/** @file What is estimated, as float64 programs over a batch: the trainer's gradient, and the objective itself. */
import { gradients } from '../autodiff/gradients.ts';
import { linearPath, perSample } from '../flow/path.ts';
import type { Value } from '../graph/graph.ts';
import { mul, reduceSum, sub } from '../graph/ops.ts';
import { fgmLoss } from '../methods/fgm.ts';
import { type Product, product } from '../metrics/engine-product.ts';
import type { ParameterList } from '../nn/parameters.ts';
import { feedShapes } from './draws.ts';
import { float32Scope, scopeOf, shapesOf, toFloat32, toFloat64 } from './float64-program.ts';
import type { Setting, Velocity } from './setting.ts';

/** What a loss is made of, on a batch of samples with weights [B]. */
export interface Terms {
  readonly u: Value;
  readonly v: Value;
  readonly c: Value;
  readonly weight: Value;
}

/** A loss of the student, and what its gradient takes as constants. */
export type Loss = (terms: Terms) => { readonly loss: Value; readonly held?: readonly Value[] };

/** L1 + L2, as the trainer has it. */
export const FULL_LOSS: Loss = ({ u, v, c, weight }) => ({
  loss: fgmLoss(u, v, c, 1, weight).loss,
});

/** Outputs of the gradient's program: means of products of two velocities. */
export const PRODUCTS = ['u.u', 'u.v', 'u.c', 'v.v', 'v.c'] as const;
export type Products = Record<(typeof PRODUCTS)[number], number>;

/** The flow that stands for the student's implicit one. */
export interface Online {
  readonly list: ParameterList;
  readonly velocity: Velocity;
}

/**
 * Outputs `gradient/NAME` of the loss in the student's parameters, and the means of PRODUCTS. Parameters: `teacher`, `student`, and `online` of the flow v, which is held fixed. Teacher and student compute
 * in float32, as in training; an exact v needs float64, as its exponents grow with 1 / t^2.
 */
export function gradientProgram(
  setting: Setting,
  online: Online,
  batch: number,
  lossOf: Loss = FULL_LOSS,
): Product {
  const { teacher, student } = setting;
  const lists = { teacher: teacher.list, student: student.list, online: online.list };
  const inputs = { ...feedShapes(setting, batch), ...shapesOf(lists) };
  return product(`${setting.name} gradient`, inputs, (values) => {
    const t = values['t']!;
    const scope = (prefix: string) => float32Scope(scopeOf(values, prefix));
    const latents = {
      z: toFloat32(values['z']!),
      part: values['part'] && toFloat32(values['part']),
    };
    const x0 = toFloat64(student.sample(scope('student'), latents));
    const { xt, c } = linearPath(x0, values['x1']!, t);
    const u = toFloat64(teacher.velocity(scope('teacher'), toFloat32(xt), toFloat32(t)));
    const v = online.velocity(scopeOf(values, 'online'), xt, t);
    const weight = values['weight']!;
    const { loss, held } = lossOf({ u, v, c, weight });
    const parameters = student.list.specs.map(({ name }) => values[`student/${name}`]!);
    const slopes = gradients(loss, parameters, held);
    return {
      ...Object.fromEntries(
        student.list.specs.map(({ name }, i) => [`gradient/${name}`, slopes[i]!] as const),
      ),
      'u.u': meanProduct(u, u, weight),
      'u.v': meanProduct(u, v, weight),
      'u.c': meanProduct(u, c, weight),
      'v.v': meanProduct(v, v, weight),
      'v.c': meanProduct(v, c, weight),
    };
  });
}

/** Output `objective`: the mean of |u - v|^2 with the exact v, which is the one of the student's law, `implicit`. */
export function objectiveProgram(setting: Setting, batch: number): Product {
  const { teacher, student, implicit } = setting;
  const lists = { teacher: teacher.list, student: student.list, implicit: implicit.list };
  const inputs = { ...feedShapes(setting, batch), ...shapesOf(lists) };
  return product(`${setting.name} objective`, inputs, (values) => {
    const t = values['t']!;
    const latents = { z: values['z']!, part: values['part'] };
    const x0 = student.sample(scopeOf(values, 'student'), latents);
    const { xt } = linearPath(x0, values['x1']!, t);
    const u = teacher.velocity(scopeOf(values, 'teacher'), xt, t);
    const v = implicit.velocity(scopeOf(values, 'implicit'), xt, t);
    const d = sub(u, v);
    return { objective: meanProduct(d, d, values['weight']!) };
  });
}

/** The gradient that a run has left in the program's memory, written as one vector. */
export function readGradient(program: Product, list: ParameterList, out: Float64Array): void {
  for (const { name, offset } of list.specs) out.set(program.memory[`gradient/${name}`]!, offset);
}

/** Mean over the batch of a.b, summed over a sample, times the weight. */
function meanProduct(a: Value, b: Value, weight: Value): Value {
  return mul(reduceSum(mul(mul(a, b), perSample(weight, a))), 1 / a.shape[0]!);
}
