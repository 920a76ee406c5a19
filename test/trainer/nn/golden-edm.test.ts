/** EDM's networks against PyTorch: denoiser, values inside, gradients of the input and of all parameters, flow velocity. */
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { gradients } from '../../../src/trainer/autodiff/gradients.ts';
import { float16ToFloat32 } from '../../../src/trainer/files/float16.ts';
import { edmDenoiser } from '../../../src/trainer/flow/edm.ts';
import { Graph, type Value } from '../../../src/trainer/graph/graph.ts';
import { interpret } from '../../../src/trainer/graph/interpreter.ts';
import { mul, reduceSum } from '../../../src/trainer/graph/ops.ts';
import { type SongUNetConfig, SongUNetConfigSchema } from '../../../src/trainer/nn/config.ts';
import { parameterList, velocity } from '../../../src/trainer/nn/network.ts';
import { initialise, ParameterScope, views } from '../../../src/trainer/nn/parameters.ts';
import { songUNet } from '../../../src/trainer/nn/song-unet.ts';
import { sizeOf, type Tensor } from '../../../src/trainer/tensor.ts';
import { type GoldenCase, goldenCases } from '../../support/golden.ts';
import { type RealType, relativeGap, runOnce } from '../../support/gradcheck.ts';

/** EDM's own names. */
const SidecarSchema = z.object({
  config: z
    .object({
      img_resolution: z.int(),
      img_channels: z.int(),
      label_dim: z.int(),
      sigma_data: z.number(),
      model_channels: z.int(),
      channel_mult: z.array(z.int()),
      num_blocks: z.int(),
      attn_resolutions: z.array(z.int()),
      augment_dim: z.int(),
      embedding_type: z.string(),
      channel_mult_noise: z.int(),
      encoder_type: z.string(),
      decoder_type: z.string(),
      resample_filter: z.array(z.number()),
    })
    .transform((c) =>
      SongUNetConfigSchema.parse({
        kind: 'song-unet',
        size: c.img_resolution,
        channels: c.img_channels,
        classes: c.label_dim,
        sigmaData: c.sigma_data,
        width: c.model_channels,
        multipliers: c.channel_mult,
        blocks: c.num_blocks,
        attention: c.attn_resolutions,
        augment: c.augment_dim,
        embedding: c.embedding_type,
        noiseMultiplier: c.channel_mult_noise,
        encoder: c.encoder_type,
        decoder: c.decoder_type,
        filter: c.resample_filter,
        precondition: 'edm',
      }),
    ),
});

type Tensors = ReadonlyMap<string, Tensor>;

const numbers = ({ data, dtype }: Tensor) =>
  Float64Array.from<number | bigint>(
    dtype === 'float16' ? float16ToFloat32(data as Uint16Array) : data,
    Number,
  );

/** Labels of one-hot rows [B, classes]. */
function labelsOf(io: Tensors, classes: number): number[] {
  const rows = numbers(io.get('class_labels')!);
  return Array.from({ length: rows.length / classes }, (_, i) =>
    rows.subarray(i * classes, (i + 1) * classes).indexOf(1),
  );
}

async function setUp(golden: GoldenCase, dtype: RealType) {
  const { config } = SidecarSchema.parse(golden.sidecar);
  const io = await golden.tensors();
  const weights = await golden.tensors('weights');
  const graph = new Graph();
  const scope = new ParameterScope(graph, 'network', dtype);
  const feeds = new Map<string, ArrayLike<number>>(
    [...weights].map(([name, tensor]) => [`network/${name}`, numbers(tensor)] as const),
  );
  const input = (name: string) => {
    feeds.set(name, numbers(io.get(name)!));
    return graph.input(name, io.get(name)!.shape, dtype);
  };
  /** The case's labels, or those that mean none. */
  const labels = (which: 'given' | 'none'): Value | undefined => {
    const { classes } = config;
    if (classes === 0) return undefined;
    const given = labelsOf(io, classes);
    feeds.set(`labels.${which}`, which === 'given' ? given : given.map(() => classes));
    return graph.input(`labels.${which}`, [given.length], 'int64');
  };
  return { config, io, weights, graph, scope, feeds, input, labels };
}

type SetUp = Awaited<ReturnType<typeof setUp>>;

function denoiser(
  { scope, config, input }: SetUp,
  labels: Value | undefined,
  augment: Value | undefined,
) {
  return edmDenoiser(
    (x, noise) => songUNet(scope, config, x, { noise, labels, augment }),
    config.sigmaData,
    input('x'),
    input('sigma'),
  );
}

/** Output and gradients, as `out`, `grad_x` and `gradient of NAME`. */
function withGradients(made: SetUp): void {
  const { graph, scope, config, input, labels } = made;
  const augment = config.augment > 0 ? input('augment_labels') : undefined;
  const out = denoiser(made, labels('given'), augment);
  graph.output('out', out);
  const loss = reduceSum(mul(out, input('cotangent')));
  const [dx, ...rest] = gradients(loss, [input('x'), ...scope.values()]);
  graph.output('grad_x', dx!);
  for (const [i, { name, init }] of scope.list().specs.entries()) {
    if (init.kind !== 'fixed') graph.output(`gradient of ${name}`, rest[i]!);
  }
}

function withoutGradients(made: SetUp): void {
  const { graph, scope, config, input, labels } = made;
  graph.output('out_plain', denoiser(made, labels('none'), undefined));
  const u = velocity(scope, config, input('flow.x_t'), input('flow.t'), {
    labels: labels('given'),
  });
  graph.output('flow.u', u);
}

/** [rows, inner] by [inner, columns]. */
function product(a: ArrayLike<number>, b: ArrayLike<number>, inner: number): Float64Array {
  const rows = a.length / inner;
  const columns = b.length / inner;
  const out = new Float64Array(rows * columns);
  for (let i = 0; i < rows; i++) {
    for (let k = 0; k < inner; k++) {
      for (let j = 0; j < columns; j++)
        out[i * columns + j]! += a[i * inner + k]! * b[k * columns + j]!;
    }
  }
  return out;
}

function transposed(a: ArrayLike<number>, rows: number): Float64Array {
  const columns = a.length / rows;
  return Float64Array.from(
    { length: a.length },
    (_, i) => a[(i % rows) * columns + Math.floor(i / rows)]!,
  );
}

/** How far a gradient is off what the case holds of it: all of it, or products of its rows and columns. */
function gradientGap(io: Tensors, name: string, shape: readonly number[], g: Float64Array): number {
  const whole = io.get(`grad.${name}`);
  if (whole) return relativeGap(g, numbers(whole));
  const rows = shape[0]!;
  const columns = sizeOf(shape) / rows;
  const right = transposed(numbers(io.get(`proj.${columns}`)!), 2);
  const found = {
    grad_right: product(g, right, columns),
    grad_left: product(numbers(io.get(`proj.${rows}`)!), g, rows),
    grad_head: g.subarray(0, 2 * columns),
  };
  const gaps = Object.entries(found).map(([part, values]) =>
    relativeGap(values, numbers(io.get(`${part}.${name}`)!)),
  );
  return Math.max(...gaps);
}

function expectSame(
  { io }: SetUp,
  results: ReturnType<typeof interpret>,
  tolerance: (name: string) => number,
): void {
  for (const [name, { shape, data }] of results) {
    const parameter = /^gradient of (.*)/.exec(name)?.[1];
    const gap = parameter
      ? gradientGap(io, parameter, shape, data)
      : relativeGap(data, numbers(io.get(name)!));
    expect(gap, name).toBeLessThan(tolerance(name));
  }
}

/** Of the golden README: the parameters' last elements cancel more in the network with a residual encoder. */
function float32Tolerance(config: SongUNetConfig, name: string): number {
  const residual = config.encoder === 'residual';
  if (name.startsWith('gradient of')) return residual ? 3e-4 : 2e-4;
  if (name === 'grad_x') return 5e-5;
  return residual ? 3e-5 : 2e-5;
}

/** References are rounded to float32. */
const FLOAT64_TOLERANCE = 3e-7;

describe.each(goldenCases('edm').map((golden) => [golden.name, golden] as const))(
  '%s',
  (_name, golden) => {
    test('names and shapes of the parameters', async () => {
      const { config, weights } = await setUp(golden, 'float32');
      const { specs } = parameterList(config);
      expect(Object.fromEntries(specs.map(({ name, shape }) => [name, shape]))).toEqual(
        Object.fromEntries([...weights].map(([name, { shape }]) => [name, shape])),
      );
    });

    test('filters start as in the file', async () => {
      const { config, weights } = await setUp(golden, 'float32');
      const list = parameterList(config);
      for (const [name, { data }] of views(list, initialise(list, 0))) {
        if (!name.endsWith('.resample_filter')) continue;
        expect([...data], name).toEqual([...numbers(weights.get(name)!)]);
      }
    });

    test('float32, ONNX Runtime', async () => {
      const made = await setUp(golden, 'float32');
      withGradients(made);
      withoutGradients(made);
      expectSame(made, runOnce(made.graph, made.feeds), (n) => float32Tolerance(made.config, n));
    });

    test('float64, interpreter', async () => {
      const made = await setUp(golden, 'float64');
      withGradients(made);
      withoutGradients(made);
      expectSame(made, interpret(made.graph, made.feeds), () => FLOAT64_TOLERANCE);
    });
  },
);
