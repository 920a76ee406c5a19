/**
 * @file SongUNet, the network of EDM (Karras et al. 2022) in the forms DDPM++ and NCSN++ (Song et al. 2021).
 * Names of parameters are those of EDM's released networks; whether there is dropout is up to the scope.
 */
import { groupNormalization } from '../graph/composed.ts';
import type { Value } from '../graph/graph.ts';
import {
  add,
  batchedMatMul,
  cast,
  concat,
  convolution,
  cos,
  equal,
  matMul,
  mul,
  reshape,
  silu,
  sin,
  slice,
  softmax,
  transpose,
} from '../graph/ops.ts';
import { fillNormal } from '../random/philox.ts';
import { STREAMS } from '../random/streams.ts';
import type { SongUNetConfig } from './config.ts';
import { tableOf } from './constants.ts';
import { affine, ZEROS } from './layers.ts';
import type { Init, Scope } from './parameters.ts';
import { downsample, filterTable, ownPadding, upsample } from './resample.ts';
import { type BlockPlan, groupsOf, songUNetPlan } from './song-unet-plan.ts';

const EPSILON = 1e-6;
/** Layers that end a branch start close to zero, those of the attention a little smaller than usual. */
const FAINT = 1e-5;
const ATTENTION_GAIN = Math.sqrt(0.2);
const ONES: Init = { kind: 'ones' };
const HALF = Math.sqrt(0.5);

export interface SongUNetInputs {
  /** c_noise of EDM, [B]. */
  readonly noise: Value;
  /** int64 [B]; `classes` = no class. */
  readonly labels?: Value | undefined;
  /** What was done to the pictures, [B, augment]; left out = nothing. */
  readonly augment?: Value | undefined;
}

/** F(x, c_noise, labels): x [B, C, S, S] -> the same. */
export function songUNet(
  scope: Scope,
  config: SongUNetConfig,
  pictures: Value,
  inputs: SongUNetInputs,
): Value {
  const x = folded(pictures, config.patch);
  const layers = new Layers(scope, config.filter);
  const embedded = embedding(scope, config, inputs); // [B, E]
  const { encoder, decoder } = songUNetPlan(config);
  const skips: Value[] = [];
  let h = x;
  /** The picture beside the network: what skip and residual encoders add to every level. */
  let aux = x;
  for (const [level, { size, blocks }] of encoder.entries()) {
    const name = `model.enc.${size}x${size}`;
    if (level === 0) {
      h = layers.convolved(`${name}_conv`, x, config.width, 3);
      skips.push(h);
    }
    for (const plan of blocks) {
      h = layers.block(plan, h, embedded);
      if (plan.resample && config.encoder === 'skip') {
        aux = layers.resampled(`${name}_aux_down`, aux, 'down');
        h = add(h, layers.convolved(`${name}_aux_skip`, aux, plan.outputs, 1));
      }
      if (plan.resample && config.encoder === 'residual') {
        aux = layers.convolvedThenHalved(`${name}_aux_residual`, aux, plan.outputs);
        h = mul(add(h, aux), HALF);
        aux = h;
      }
      skips.push(h);
    }
  }

  const smallest = h;
  scope.features?.(() => byPlace(smallest));
  let out: Value | undefined;
  for (const [i, { size, blocks }] of decoder.entries()) {
    const name = `model.dec.${size}x${size}`;
    for (const plan of blocks) {
      h = layers.block(plan, plan.joins ? concat([h, skips.pop()!], 1) : h, embedded);
    }
    if (config.decoder === 'standard' && i < decoder.length - 1) continue;
    if (out) out = layers.resampled(`${name}_aux_up`, out, 'up');
    const last = silu(layers.normalised(`${name}_aux_norm`, h));
    const part = layers.convolved(`${name}_aux_conv`, last, x.shape[1]!, 3, FAINT);
    out = out ? add(part, out) : part;
  }
  return unfolded(out!, config.patch);
}

/** [B, C, S, S] -> [B, S S, C]. */
function byPlace(x: Value): Value {
  const [batch, channels, size] = x.shape as [number, number, number, number];
  return transpose(reshape(x, [batch, channels, size ** 2]), [0, 2, 1]);
}

/** [B, C, S, S] -> [B, C p p, S / p, S / p]: every square of p pixels a side becomes channels (c, py, px). */
function folded(x: Value, patch: number): Value {
  if (patch === 1) return x;
  const [batch, channels, size] = x.shape as [number, number, number, number];
  const grid = size / patch;
  const squares = reshape(x, [batch, channels, grid, patch, grid, patch]);
  const shape = [batch, channels * patch ** 2, grid, grid];
  return reshape(transpose(squares, [0, 1, 3, 5, 2, 4]), shape);
}

/** The way back from `folded`. */
function unfolded(x: Value, patch: number): Value {
  if (patch === 1) return x;
  const [batch, depth, grid] = x.shape as [number, number, number, number];
  const channels = depth / patch ** 2;
  const squares = reshape(x, [batch, channels, patch, patch, grid, grid]);
  const size = grid * patch;
  return reshape(transpose(squares, [0, 1, 4, 2, 5, 3]), [batch, channels, size, size]);
}

/** Layers with EDM's names and starting values. */
class Layers {
  readonly #scope: Scope;
  readonly #filter: readonly number[];

  constructor(scope: Scope, filter: readonly number[]) {
    this.#scope = scope;
    this.#filter = filter;
  }

  normalised(name: string, x: Value): Value {
    const channels = x.shape[1]!;
    const scale = this.#scope.parameter(`${name}.weight`, [channels], ONES);
    const bias = this.#scope.parameter(`${name}.bias`, [channels], ZEROS);
    return groupNormalization(x, groupsOf(channels), scale, bias, EPSILON);
  }

  /** A convolution that keeps the size. */
  convolved(name: string, x: Value, outputs: number, kernel: number, gain = 1): Value {
    const [weight, bias] = this.#kernel(name, x.shape[1]!, outputs, kernel, gain);
    return convolution(x, weight, bias, padding((kernel - 1) / 2));
  }

  /** Half or twice the size. */
  resampled(name: string, x: Value, resample: 'up' | 'down'): Value {
    this.#declareFilter(name);
    return resample === 'up' ? upsample(x, this.#filter) : downsample(x, this.#filter);
  }

  /** EDM's fused form: the convolution sees the padding that the filter needs. */
  convolvedThenHalved(name: string, x: Value, outputs: number): Value {
    const [weight, bias] = this.#kernel(name, x.shape[1]!, outputs, 3, 1);
    this.#declareFilter(name);
    const wide = convolution(x, weight, undefined, padding(1 + ownPadding(this.#filter)));
    return add(downsample(wide, this.#filter, 0), reshape(bias, [outputs, 1, 1]));
  }

  block(plan: BlockPlan, x: Value, embedded: Value): Value {
    return this.#scope.graph.block(() => this.#block(plan, x, embedded));
  }

  #block(plan: BlockPlan, x: Value, embedded: Value): Value {
    const { name, inputs, outputs, resample } = plan;
    const batch = x.shape[0]!;
    const resized = (label: string, v: Value) =>
      resample ? this.resampled(`${name}.${label}`, v, resample) : v;
    const first = silu(this.normalised(`${name}.norm0`, x));
    const [weight, bias] = this.#kernel(`${name}.conv0`, inputs, outputs, 3, 1);
    const inner = convolution(resized('conv0', first), weight, undefined, padding(1));
    // The bias joins the embedding while it is one number a channel.
    const shift = add(dense(this.#scope, `${name}.affine`, embedded, outputs), bias);
    const shifted = add(inner, reshape(shift, [batch, outputs, 1, 1]));
    const second = silu(this.normalised(`${name}.norm1`, shifted));
    const kept = this.#scope.dropout?.(second) ?? second;
    const branch = this.convolved(`${name}.conv1`, kept, outputs, 3, FAINT);
    const changes = inputs !== outputs || resample !== undefined;
    const skip = changes ? this.convolved(`${name}.skip`, resized('skip', x), outputs, 1) : x;
    const sum = mul(add(branch, skip), HALF);
    return plan.attention ? this.#attended(name, sum) : sum;
  }

  /** Attention of one head over all places; queries, keys and values are interleaved by channel. */
  #attended(name: string, x: Value): Value {
    const [batch, channels, size] = x.shape as [number, number, number, number];
    const places = size * size;
    const h = this.normalised(`${name}.norm2`, x);
    const [weight, bias] = this.#kernel(`${name}.qkv`, channels, 3 * channels, 1, ATTENTION_GAIN);
    const weights = transpose(reshape(weight, [channels, 3, channels]), [1, 0, 2]);
    const biases = transpose(reshape(bias, [channels, 3]), [1, 0]);
    const [q, k, v] = [0, 1, 2].map((i) => {
      const kernel = reshape(slice(weights, 0, i, i + 1), [channels, channels, 1, 1]);
      const y = convolution(h, kernel, reshape(slice(biases, 0, i, i + 1), [channels]));
      return reshape(y, [batch, channels, places]);
    }) as [Value, Value, Value];
    const alpha = 1 / Math.sqrt(channels);
    const shares = softmax(batchedMatMul(q, k, { transA: true, alpha })); // [B, Q, K]
    const mixed = reshape(batchedMatMul(v, shares, { transB: true }), x.shape);
    return mul(add(this.convolved(`${name}.proj`, mixed, channels, 1, FAINT), x), HALF);
  }

  /** EDM's files hold the filter, though it follows from the configuration; so do ours, for EDM to read them. */
  #declareFilter(name: string): void {
    const taps = this.#filter.length;
    const values = () => filterTable(this.#filter);
    this.#scope.parameter(`${name}.resample_filter`, [1, 1, taps, taps], { kind: 'fixed', values });
  }

  #kernel(
    name: string,
    inputs: number,
    outputs: number,
    size: number,
    gain: number,
  ): [Value, Value] {
    const shape = [outputs, inputs, size, size];
    const init = xavier(inputs * size ** 2, outputs * size ** 2, gain);
    return [
      this.#scope.parameter(`${name}.weight`, shape, init),
      this.#scope.parameter(`${name}.bias`, [outputs], ZEROS),
    ];
  }
}

const padding = (count: number) => ({ pads: [count, count, count, count] });

const xavier = (inputs: number, outputs: number, gain = 1): Init => ({
  kind: 'uniform',
  bound: gain * Math.sqrt(6 / (inputs + outputs)),
});

/** x W^T + b for x [B, in]. */
function dense(scope: Scope, name: string, x: Value, outputs: number): Value {
  const inputs = x.shape[1]!;
  const weight = scope.parameter(`${name}.weight`, [outputs, inputs], xavier(inputs, outputs));
  return affine(x, weight, scope.parameter(`${name}.bias`, [outputs], ZEROS));
}

/** What every block is told about noise, class and augmentation: [B, width * embeddingMultiplier]. */
function embedding(scope: Scope, config: SongUNetConfig, inputs: SongUNetInputs): Value {
  const { width, classes, augment } = config;
  const channels = width * config.noiseMultiplier;
  let sum = noiseEmbedding(scope, config, inputs.noise, channels);
  if (classes > 0 && inputs.labels) {
    // A label that is no class is a row of zeros.
    const numbers = BigInt64Array.from({ length: classes }, (_, i) => BigInt(i));
    const range = scope.graph.constant({ dtype: 'int64', shape: [1, classes], data: numbers });
    const column = reshape(inputs.labels, [inputs.labels.shape[0]!, 1]);
    const oneHot = mul(cast(equal(column, range), sum.dtype), Math.sqrt(classes));
    sum = add(sum, dense(scope, 'model.map_label', oneHot, channels));
  }
  if (augment > 0) {
    const init = xavier(augment, channels);
    const weight = scope.parameter('model.map_augment.weight', [channels, augment], init);
    if (inputs.augment) sum = add(sum, matMul(inputs.augment, transpose(weight, [1, 0])));
  }
  const hidden = silu(dense(scope, 'model.map_layer0', sum, width * config.embeddingMultiplier));
  return silu(dense(scope, 'model.map_layer1', hidden, width * config.embeddingMultiplier));
}

/** Sines, then cosines of the noise level: EDM swaps the halves of the DDPM form. */
function noiseEmbedding(scope: Scope, config: SongUNetConfig, noise: Value, width: number): Value {
  const half = width / 2;
  const frequencies =
    config.embedding === 'positional'
      ? tableOf(
          noise.graph,
          noise.dtype,
          [1, half],
          Array.from({ length: half }, (_, i) => 10_000 ** (-i / (half - 1))),
        )
      : mul(reshape(fourierFrequencies(scope, half), [1, half]), 2 * Math.PI);
  const angles = mul(reshape(noise, [noise.shape[0]!, 1]), frequencies);
  return concat([sin(angles), cos(angles)], 1);
}

/** Spread of the random frequencies of NCSN++. */
const FOURIER_SCALE = 16;

function fourierFrequencies(scope: Scope, count: number): Value {
  const values = () => {
    const drawn = new Float32Array(count);
    fillNormal(drawn, 0, STREAMS.init, 0);
    return drawn.map((f) => f * FOURIER_SCALE);
  };
  return scope.parameter('model.map_noise.freqs', [count], { kind: 'fixed', values });
}
