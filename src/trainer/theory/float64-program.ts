/** @file Networks and losses in float64 programs: their parameters are inputs `PREFIX/NAME`. */
import type { Value } from '../graph/graph.ts';
import { cast } from '../graph/ops.ts';
import type { Product } from '../metrics/engine-product.ts';
import type { ParameterList, Scope } from '../nn/parameters.ts';
import type { Shape } from '../tensor.ts';

export type Values = Readonly<Record<string, Value>>;

/** The inputs for the parameters of each list, by prefix. */
export function shapesOf(lists: Readonly<Record<string, ParameterList>>): Record<string, Shape> {
  return Object.fromEntries(
    Object.entries(lists).flatMap(([prefix, { specs }]) =>
      specs.map(({ name, shape }) => [`${prefix}/${name}`, shape] as const),
    ),
  );
}

/** Where a network finds its parameters among the inputs of a program. */
export function scopeOf(inputs: Values, prefix: string): Scope {
  const [input] = Object.values(inputs);
  return { graph: input!.graph, parameter: (name) => inputs[`${prefix}/${name}`]! };
}

/** The same parameters as float32: networks compute as in training. */
export function float32Scope(scope: Scope): Scope {
  return {
    graph: scope.graph,
    parameter: (...asked) => cast(scope.parameter(...asked), 'float32'),
  };
}

export const toFloat32 = (x: Value): Value => cast(x, 'float32');
export const toFloat64 = (x: Value): Value => cast(x, 'float64');

export function writeParameters(
  { memory }: Product,
  prefix: string,
  { specs }: ParameterList,
  values: Float64Array,
): void {
  for (const { name, offset, size } of specs) {
    memory[`${prefix}/${name}`]!.set(values.subarray(offset, offset + size));
  }
}
