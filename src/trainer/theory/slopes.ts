/** @file Derivatives of the intractable objective E |u - v|^2 along a direction, by central differences in float64. */
import type { Product } from '../metrics/engine-product.ts';
import { moved } from './directions.ts';
import type { Feeds } from './draws.ts';
import { writeParameters } from './float64-program.ts';
import { objectiveProgram } from './programs.ts';
import type { Setting } from './setting.ts';

/**
 * How far the parts or points of the student's law move at most, at each side: the narrowest feature of a velocity is
 * the least time wide, 0.05, so the error of the difference is some 1e-7 of it, and that of rounding less.
 */
const MOTION = 1e-5;
/** A first step, from which the one with that motion follows. */
const TRIAL_STEP = 1e-4;

/** The objective to both sides of a setting's parameters, with the same random numbers for both. */
export interface Slope extends Disposable {
  /** The derivative of the estimate from one batch. */
  at(feeds: Feeds): Promise<number>;
}

/** The derivative along `direction`; where the objective is known in closed form, its exact value for any batch. */
export async function slopeAlong(
  setting: Setting,
  direction: Float64Array,
  batch: number,
): Promise<Slope> {
  const { values } = setting.student;
  const step = await stepFor(setting, direction);
  const sides = [step, -step].map((by) => moved(values, direction, by));
  if (setting.objective) {
    const [above, below] = sides.map(setting.objective) as [number, number];
    const slope = (above - below) / (2 * step);
    return { at: async () => slope, [Symbol.dispose]: () => undefined };
  }
  const programs: Product[] = [];
  for (const side of sides) programs.push(await objectiveAt(setting, side, batch));
  const [above, below] = programs as [Product, Product];
  return {
    at: async (feeds) => {
      for (const { memory } of programs) writeFeeds(memory, feeds);
      await Promise.all(programs.map((program) => program.run()));
      return (above.memory['objective']![0]! - below.memory['objective']![0]!) / (2 * step);
    },
    [Symbol.dispose]: () => {
      for (const program of programs) program[Symbol.dispose]();
    },
  };
}

export function writeFeeds(memory: Product['memory'], feeds: Feeds): void {
  for (const [name, values] of Object.entries(feeds)) memory[name]!.set(values);
}

async function objectiveAt(setting: Setting, student: Float64Array, batch: number) {
  const program = objectiveProgram(setting, batch);
  writeParameters(program, 'teacher', setting.teacher.list, setting.teacher.values);
  writeParameters(program, 'student', setting.student.list, student);
  writeParameters(program, 'implicit', setting.implicit.list, await setting.law(student));
  return program;
}

async function stepFor(setting: Setting, direction: Float64Array): Promise<number> {
  const { values } = setting.student;
  const here = await setting.law(values);
  const there = await setting.law(moved(values, direction, TRIAL_STEP));
  const motion = here.reduce((most, x, i) => Math.max(most, Math.abs(there[i]! - x)), 0);
  return (TRIAL_STEP * MOTION) / motion;
}
