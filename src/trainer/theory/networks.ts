/** @file Settings whose student is a network on a fixed set of latents: its samples are points, so its velocity is exact. */
import type { Value } from '../graph/graph.ts';
import { expand } from '../graph/ops.ts';
import { oneStepStudent } from '../methods/fgm.ts';
import { product } from '../metrics/engine-product.ts';
import { type NetworkConfig, sampleShape } from '../nn/config.ts';
import { parameterList, velocity } from '../nn/network.ts';
import type { ParameterList, Scope } from '../nn/parameters.ts';
import { fillNormal } from '../random/philox.ts';
import { STREAMS } from '../random/streams.ts';
import { sizeOf } from '../tensor.ts';
import { fixedLatents } from './draws.ts';
import { velocityOfPoints } from './exact-velocity.ts';
import { scopeOf, shapesOf, writeParameters } from './float64-program.ts';
import { type Latents, parametersOf, type Setting, type Velocity } from './setting.ts';

/** The paper's t*, and a c_in that keeps the points near each other: what they leave between them is noise to the estimates. */
export const T_STAR = 0.97;
export const C_IN = 0.5;

/** Steps of the stream of random numbers that weights are drawn at. */
const FIRST_STEP = 2 ** 32;
const DRAWN = { teacher: 0, student: 1000 } as const;

/** Deviation of weights times the root of a unit's inputs, and of biases: activations neither vanish nor saturate. */
const GAIN = 1;
const BIAS = 0.2;

/**
 * A setting in which teacher and student are networks of one configuration with random weights (the theorem holds for any
 * teacher), and the student has `count` latents, drawn from the normal distribution once.
 */
export function networkSetting(
  name: string,
  title: string,
  config: NetworkConfig,
  count: number,
  seed: number,
): Setting {
  const shape = sampleShape(config);
  const list = parameterList(config);
  const field: Velocity = (scope, x, t) => velocity(scope, config, x, t);
  const sample = (scope: Scope, { z }: Latents) =>
    oneStepStudent(z, T_STAR, C_IN, (x) => field(scope, x, atTStar(x)));
  const pointsIn = (scope: Scope) =>
    scope.parameter('points', [count, sizeOf(shape)], { kind: 'zeros' });
  const latents = fixedLatents(count, sizeOf(shape), seed);
  return {
    name,
    title,
    shape,
    teacher: { list, values: randomWeights(list, seed, DRAWN.teacher), velocity: field },
    student: { list, values: randomWeights(list, seed, DRAWN.student), sample },
    implicit: {
      list: parametersOf(pointsIn),
      velocity: (scope, x, t) => velocityOfPoints(x, t, pointsIn(scope)),
    },
    latents: { count, values: latents },
    law: async (values) => {
      using program = product(
        `${name} student`,
        { z: [count, ...shape], ...shapesOf({ student: list }) },
        (inputs) => ({ x0: sample(scopeOf(inputs, 'student'), { z: inputs['z']! }) }),
      );
      writeParameters(program, 'student', list, values);
      program.memory['z']!.set(latents);
      await program.run();
      return program.memory['x0']!;
    },
  };
}

/** The time t* for each sample of x. */
export function atTStar(x: Value): Value {
  return expand(x.graph.scalar(T_STAR, x.dtype), [x.shape[0]!]);
}

function randomWeights(list: ParameterList, seed: number, drawn: number): Float64Array {
  const values = new Float64Array(list.size);
  for (const [i, { shape, offset, size }] of list.specs.entries()) {
    const deviation = shape.length > 1 ? GAIN / Math.sqrt(sizeOf(shape.slice(1))) : BIAS;
    values.set(
      normals(size, seed, drawn + i).map((x) => deviation * x),
      offset,
    );
  }
  return values;
}

function normals(size: number, seed: number, drawn: number): Float64Array {
  const out = new Float32Array(size);
  fillNormal(out, seed, STREAMS.theory, FIRST_STEP + drawn);
  return Float64Array.from(out);
}
