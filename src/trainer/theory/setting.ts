/** @file What the theory is tried on: a student whose law is known exactly, beside a teacher. */
import type { Value } from '../graph/graph.ts';
import { Graph } from '../graph/graph.ts';
import { type ParameterList, ParameterScope, type Scope } from '../nn/parameters.ts';
import type { Shape } from '../tensor.ts';

/** A velocity with parameters of its own: x [B, ...sample], t [B] -> like x. */
export type Velocity = (scope: Scope, x: Value, t: Value) => Value;

/** Parameters as one float64 vector, in the order of their list. */
export interface Parameters {
  readonly list: ParameterList;
  readonly values: Float64Array;
}

/** What a student makes a sample of: z [B, ...sample], and for mixtures a row of 0 and one 1 [B, K] that picks a part. */
export interface Latents {
  readonly z: Value;
  readonly part?: Value | undefined;
}

export interface Setting {
  readonly name: string;
  readonly title: string;
  /** Shape of a sample. */
  readonly shape: Shape;
  readonly teacher: Parameters & { readonly velocity: Velocity };
  readonly student: Parameters & { readonly sample: (scope: Scope, latents: Latents) => Value };
  /** The implicit velocity of the student as a function of its law: parts, or points. */
  readonly implicit: { readonly list: ParameterList; readonly velocity: Velocity };
  /** Where the latents of the student come from: parts of a mixture, or a fixed set [N, ...sample]. */
  readonly latents:
    | { readonly parts: number }
    | { readonly count: number; readonly values: Float64Array };
  /** The parameters of the law for parameters of the student. */
  law(student: Float64Array): Promise<Float64Array>;
  /** E |u - v|^2 over the given times, where it is known in closed form. */
  readonly objective?: (student: Float64Array) => number;
}

/** Times that all is measured over, evenly distributed. Nearer to the data, most of the effort would go into their noise. */
export const TIMES = { min: 0.05, max: 0.95 } as const;

/** The parameters that `build` asks for. */
export function parametersOf(build: (scope: Scope) => void): ParameterList {
  const scope = new ParameterScope(new Graph(), 'parameters', 'float64');
  build(scope);
  return scope.list();
}
