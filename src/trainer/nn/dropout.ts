/**
 * @file Dropout (Srivastava et al. 2014) as a function of few fed numbers, so that masks can be repeated.
 *
 * Element (channel c, place s) is dropped where cos(a_c b_s + d_c + e_s) > cos(pi share), with d and e uniform on the circle:
 * each with probability `share`, any three of them independently, as the sum d + e of independent angles sees to; the
 * product keeps channels with alike d from having alike masks. So means and variances are those of independent draws,
 * and a block of 256 channels of 32 x 32 takes some thousand numbers from the host instead of 262,144.
 */
import { FlowstepError } from '../../errors.ts';
import { Graph, type Value } from '../graph/graph.ts';
import { add, cos, lessOrEqual, mul, reshape, slice, where } from '../graph/ops.ts';
import type { Shape } from '../tensor.ts';
import type { NetworkConfig } from './config.ts';
import { declareParameters } from './network.ts';
import { type Adapter, type Init, ParameterScope, type Scope } from './parameters.ts';

/** Turns that a_c b_s makes at most: enough to mix, few enough for float32 to tell the angles well. */
const TURNS = 256;

const CIRCLE = 2 * Math.PI;

/** Passes everything on; what it makes of activations [B, C, H, W] is up to `drop`. */
class ActivationScope implements Scope {
  readonly graph: Graph;
  readonly #inner: Scope;
  readonly #drop: (x: Value) => Value;

  constructor(inner: Scope, drop: (x: Value) => Value) {
    this.graph = inner.graph;
    this.#inner = inner;
    this.#drop = drop;
  }

  parameter(name: string, shape: Shape, init: Init): Value {
    return this.#inner.parameter(name, shape, init);
  }

  adapter(name: string, inputs: number, outputs: number): Adapter | undefined {
    return this.#inner.adapter?.(name, inputs, outputs);
  }

  features(value: () => Value): void {
    this.#inner.features?.(value);
  }

  dropout(x: Value): Value {
    return this.#drop(x);
  }
}

/** Hands out the columns of draws in turn; those of places of one size are there once. */
class Columns {
  readonly #places = new Map<number, number>();
  width = 0;

  take(count: number): number {
    this.width += count;
    return this.width - count;
  }

  places(count: number): number {
    const known = this.#places.get(count);
    if (known !== undefined) return known;
    const start = this.take(2 * count);
    this.#places.set(count, start);
    return start;
  }
}

/** The network of `scope` with dropout of this share, one call of it; draws [B, dropoutDraws(network)] on [0, 1). */
export function withDropout(scope: Scope, draws: Value, share: number): Scope {
  const columns = new Columns();
  const column = (start: number, shape: Shape) =>
    reshape(slice(draws, 1, start, start + Math.max(...shape.slice(1))), shape);
  return new ActivationScope(scope, (x) => {
    const [batch, channels] = x.shape as [number, number];
    const count = x.shape.slice(2).reduce((a, b) => a * b, 1);
    const perChannel = [batch, channels, 1];
    const perPlace = [batch, 1, count];
    const own = columns.take(2 * channels);
    const common = columns.places(count);
    const speed = mul(column(own, perChannel), CIRCLE * TURNS);
    const offset = mul(column(own + channels, perChannel), CIRCLE);
    const place = column(common, perPlace);
    const shift = mul(column(common + count, perPlace), CIRCLE);
    const angle = add(add(mul(speed, place), offset), shift);
    const isKept = reshape(lessOrEqual(cos(angle), Math.cos(Math.PI * share)), x.shape);
    return where(isKept, mul(x, 1 / (1 - share)), x.graph.scalar(0, x.dtype));
  });
}

/** Numbers that the dropout of one sample takes. Throws VALUE_OUT_OF_RANGE for networks without dropout. */
export function dropoutDraws(network: NetworkConfig): number {
  const columns = new Columns();
  const scope = new ActivationScope(new ParameterScope(new Graph(), 'network'), (x) => {
    columns.take(2 * x.shape[1]!);
    columns.places(x.shape.slice(2).reduce((a, b) => a * b, 1));
    return x;
  });
  declareParameters(scope, network);
  if (columns.width > 0) return columns.width;
  throw new FlowstepError(
    'VALUE_OUT_OF_RANGE',
    `a network of kind ${network.kind} has no dropout`,
    { field: 'dropout', hint: 'Set dropout to 0; SongUNets have it.' },
  );
}
