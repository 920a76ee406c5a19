/** @file Inputs and attributes on which every operator is tried: a row per operator, as in the table of operators. */
import type { AttributesOf, OperatorName } from '../../src/trainer/graph/operators.ts';
import { plainWindow } from '../../src/trainer/graph/windows.ts';
import { type Shape, sizeOf } from '../../src/trainer/tensor.ts';

export interface InputSpec {
  readonly shape: Shape;
  readonly values: readonly number[];
  /** What the input holds; real numbers are differentiated. */
  readonly holds: 'reals' | 'int64' | 'int32' | 'bool';
  /** A constant of the graph rather than an input. */
  readonly constant?: boolean;
}

export interface OperatorCase<K extends OperatorName = OperatorName> {
  readonly inputs: readonly InputSpec[];
  readonly attributes: AttributesOf<K>;
}

/** mulberry32: small and the same everywhere. */
export function randomNumbers(seed: number): () => number {
  let a = seed;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const random = randomNumbers(20);

const draw = (shape: Shape, next: () => number): InputSpec => ({
  shape,
  values: Array.from({ length: sizeOf(shape) }, () => Math.fround(next())),
  holds: 'reals',
});

/** Uniform in [low, high]. */
const reals = (shape: Shape, low = -1.7, high = 2.1): InputSpec =>
  draw(shape, () => low + (high - low) * random());

/** Of both signs, at least `low` from 0. */
const awayFromZero = (shape: Shape, low = 0.3, high = 2.1): InputSpec =>
  draw(shape, () => (low + (high - low) * random()) * (random() < 0.5 ? -1 : 1));

/** Multiples of 0.2, none twice, moved by `offset`: two such inputs with offsets 0.1 apart are never close. */
function apart(shape: Shape, offset: number): InputSpec {
  const values = Array.from({ length: sizeOf(shape) }, (_, i) => 0.2 * (i - 2) + offset);
  for (let i = values.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [values[i], values[j]] = [values[j]!, values[i]!];
  }
  return { shape, values: values.map(Math.fround), holds: 'reals' };
}

const integers = (
  shape: Shape,
  values: readonly number[],
  holds: 'int64' | 'int32' = 'int64',
): InputSpec => ({ shape, values, holds });

const booleans = (shape: Shape): InputSpec => ({
  shape,
  values: Array.from({ length: sizeOf(shape) }, () => Number(random() < 0.5)),
  holds: 'bool',
});

const constant = (shape: Shape, values: readonly number[]): InputSpec => ({
  shape,
  values,
  holds: 'reals',
  constant: true,
});

const NONE = {} as const;

const unary = (make: (shape: Shape) => InputSpec = (shape) => reals(shape)) =>
  [[2, 3], [], [2, 1, 4]].map((shape) => ({ inputs: [make(shape)], attributes: NONE }));

const PAIRS: readonly (readonly [Shape, Shape])[] = [
  [
    [2, 3],
    [2, 3],
  ],
  [[2, 3], []],
  [[], [2, 3]],
  [[2, 3], [3]],
  [
    [2, 1],
    [1, 3],
  ],
  [[3], [4, 2, 3]],
  [
    [2, 3, 2],
    [3, 1],
  ],
  [[1], []],
];

const binary = (make: (a: Shape, b: Shape) => readonly InputSpec[]) =>
  PAIRS.map(([a, b]) => ({ inputs: make(a, b), attributes: NONE }));

const anyPair = (a: Shape, b: Shape) => [reals(a), reals(b)];
const distinctPair = (a: Shape, b: Shape) => [apart(a, 0), apart(b, 0.1)];

const FLAGS = [0, 1] as const;
const flipped = (m: number, n: number, t: number, lead: Shape = []) =>
  t ? [...lead, n, m] : [...lead, m, n];

function gemmCases(): OperatorCase<'Gemm'>[] {
  const biases: readonly (Shape | undefined)[] = [
    undefined,
    [4],
    [1, 4],
    [2, 1],
    [2, 4],
    [],
    [1],
    [1, 1],
  ];
  return FLAGS.flatMap((transA) =>
    FLAGS.flatMap((transB) =>
      biases.flatMap((bias, i) => {
        const factors = [reals(flipped(2, 3, transA)), reals(flipped(3, 4, transB))];
        const scale = i % 2 ? { alpha: 1, beta: 1 } : { alpha: 0.7, beta: -1.3 };
        return [
          {
            inputs: bias ? [...factors, reals(bias)] : factors,
            attributes: { transA, transB, ...scale },
          },
        ];
      }),
    ),
  );
}

function fusedMatMulCases(): OperatorCase<'FusedMatMul'>[] {
  const leads: readonly (readonly [Shape, Shape])[] = [
    [[], []],
    [[2], [2]],
    [
      [2, 3],
      [2, 3],
    ],
    [[2, 1], [3]],
    [[3], []],
  ];
  return FLAGS.flatMap((transA) =>
    FLAGS.flatMap((transB) =>
      leads.map(([a, b], i) => ({
        inputs: [reals(flipped(2, 3, transA, a)), reals(flipped(3, 4, transB, b))],
        attributes: { transA, transB, alpha: i % 2 ? 0.6 : 1 },
      })),
    ),
  );
}

const reductions = (make: (shape: Shape) => InputSpec = (shape) => reals(shape)) =>
  [[0], [1], [-1], [0, 2], [-3, 1], [0, 1, 2]].flatMap((axes) =>
    FLAGS.map((keepdims) => ({ inputs: [make([2, 3, 4])], attributes: { axes, keepdims } })),
  );

const axisCases = [-1, 0, 1, -2].map((axis) => ({
  inputs: [reals([2, 3, 4])],
  attributes: { axis },
}));

const normal = { axis: -1, epsilon: 1e-5 } as const;

export const OPERATOR_CASES: { readonly [K in OperatorName]: readonly OperatorCase<K>[] } = {
  Identity: unary(),
  Neg: unary(),
  Abs: unary((shape) => awayFromZero(shape)),
  Exp: unary(),
  Log: unary((shape) => reals(shape, 0.3, 3)),
  Sqrt: unary((shape) => reals(shape, 0.3, 3)),
  Reciprocal: unary((shape) => awayFromZero(shape, 0.5)),
  Sin: unary(),
  Cos: unary(),
  Tanh: unary(),
  Sigmoid: unary(),
  Erf: unary((shape) => reals(shape, -3.5, 3.5)),
  Gelu: ['none', 'tanh'].flatMap((approximate) =>
    [[2, 5], [7]].map((shape) => ({ inputs: [reals(shape, -3, 3)], attributes: { approximate } })),
  ),
  Cast: [
    { inputs: [reals([2, 3])], attributes: { to: 'float64' } },
    { inputs: [reals([2, 3])], attributes: { to: 'float32' } },
    { inputs: [apart([2, 3], 0.1)], attributes: { to: 'int64' } },
    { inputs: [apart([3], 0.1)], attributes: { to: 'int32' } },
    { inputs: [reals([2, 3], 0.1, 5)], attributes: { to: 'uint8' } },
    { inputs: [apart([2, 3], 0.1)], attributes: { to: 'bool' } },
    { inputs: [integers([3], [2, -1, 0])], attributes: { to: 'float32' } },
    { inputs: [booleans([4])], attributes: { to: 'float32' } },
    { inputs: [integers([2], [7, -2], 'int32')], attributes: { to: 'int64' } },
  ],

  Add: binary(anyPair),
  Sub: binary(anyPair),
  Mul: binary(anyPair),
  Div: binary((a, b) => [reals(a), awayFromZero(b, 0.5)]),
  Pow: [
    ...binary((a, b) => [reals(a, 0.4, 2), reals(b)]),
    { inputs: [awayFromZero([2, 3]), constant([], [2])], attributes: NONE },
    { inputs: [awayFromZero([2, 3]), constant([3], [3, 1, -2])], attributes: NONE },
  ],
  Min: binary(distinctPair),
  Max: binary(distinctPair),
  Equal: [
    ...binary(distinctPair),
    { inputs: [constant([4], [1, 2, 3, 4]), constant([4], [1, 3, 3, 0])], attributes: NONE },
    { inputs: [integers([2, 1], [5, 0]), integers([3], [0, 5, 5])], attributes: NONE },
  ],
  Less: [
    ...binary(distinctPair),
    { inputs: [integers([3], [1, 2, 3]), integers([3], [1, 3, 2])], attributes: NONE },
  ],
  LessOrEqual: [
    ...binary(distinctPair),
    { inputs: [constant([3], [1, 2, 3]), constant([3], [1, 3, 2])], attributes: NONE },
  ],
  Greater: binary(distinctPair),
  Where: PAIRS.flatMap(([a, b]) => [
    { inputs: [booleans(a), reals(a), reals(b)], attributes: NONE },
    { inputs: [booleans(b), reals(b), reals(a)], attributes: NONE },
  ]),

  MatMul: (
    [
      [
        [2, 3],
        [3, 4],
      ],
      [
        [2, 2, 3],
        [2, 3, 2],
      ],
      [
        [2, 1, 2, 3],
        [3, 3, 2],
      ],
      [
        [3, 2, 3],
        [3, 2],
      ],
      [
        [2, 3],
        [4, 3, 2],
      ],
      [
        [1, 1],
        [1, 1],
      ],
    ] as const
  ).map(([a, b]) => ({ inputs: [reals(a), reals(b)], attributes: NONE })),
  Gemm: gemmCases(),
  FusedMatMul: fusedMatMulCases(),

  ReduceSum: reductions(),
  ReduceMean: reductions(),
  ReduceMax: reductions((shape) => apart(shape, 0)),
  ReduceSumSquare: reductions(),
  Softmax: axisCases,
  LayerNormalization: [
    { inputs: [reals([2, 3, 4]), reals([4]), reals([4])], attributes: normal },
    { inputs: [reals([2, 4]), reals([4])], attributes: { axis: 1, epsilon: 1e-2 } },
    { inputs: [reals([3, 5]), constant([5], [1, 1, 1, 1, 1])], attributes: normal },
    { inputs: [reals([3, 2]), constant([2], [1, 1]), reals([2])], attributes: normal },
    { inputs: [reals([3, 2]), constant([2], [1, 2])], attributes: normal },
  ],

  Reshape: [
    { inputs: [reals([2, 3, 4])], attributes: { shape: [4, -1] } },
    { inputs: [reals([2, 3])], attributes: { shape: [3, 1, 2] } },
    { inputs: [reals([1, 1])], attributes: { shape: [] } },
    { inputs: [reals([])], attributes: { shape: [1, 1] } },
  ],
  Expand: [
    { inputs: [reals([3])], attributes: { shape: [2, 3] } },
    { inputs: [reals([2, 1])], attributes: { shape: [4, 2, 3] } },
    { inputs: [reals([])], attributes: { shape: [2, 2] } },
    { inputs: [reals([2, 3])], attributes: { shape: [1] } },
  ],
  Transpose: [
    { inputs: [reals([2, 3])], attributes: { perm: [1, 0] } },
    { inputs: [reals([2, 3, 4])], attributes: { perm: [2, 0, 1] } },
    { inputs: [reals([2, 3, 1, 4])], attributes: { perm: [0, 3, 2, 1] } },
    { inputs: [reals([3])], attributes: { perm: [0] } },
  ],
  Concat: [
    { inputs: [reals([2, 3]), reals([1, 3])], attributes: { axis: 0 } },
    { inputs: [reals([2, 3]), reals([2, 1]), reals([2, 2])], attributes: { axis: -1 } },
    { inputs: [reals([2, 3, 2]), reals([2, 1, 2])], attributes: { axis: 1 } },
    { inputs: [reals([3])], attributes: { axis: 0 } },
  ],
  Slice: [
    { inputs: [reals([4, 3])], attributes: { starts: [1], ends: [3], axes: [0] } },
    { inputs: [reals([4, 3])], attributes: { starts: [-2], ends: [2 ** 31 - 1], axes: [-1] } },
    { inputs: [reals([4, 5])], attributes: { starts: [1, -3], ends: [-1, 4], axes: [1, 0] } },
    { inputs: [reals([2, 3, 4])], attributes: { starts: [-9, 1], ends: [1, 3], axes: [0, -1] } },
    { inputs: [reals([5])], attributes: { starts: [0], ends: [5], axes: [0] } },
  ],
  Split: [
    { inputs: [reals([5, 2])], attributes: { axis: 0, split: [2, 3] } },
    { inputs: [reals([2, 6])], attributes: { axis: -1, split: [1, 3, 2] } },
    { inputs: [reals([2, 4, 3])], attributes: { axis: 1, split: [2, 2] } },
    { inputs: [reals([3])], attributes: { axis: 0, split: [3] } },
  ],
  Pad: [
    { inputs: [reals([2, 3])], attributes: { pads: [1, 0, 0, 2] } },
    { inputs: [reals([3])], attributes: { pads: [2, 1] } },
    { inputs: [reals([2, 1, 2])], attributes: { pads: [0, 1, 2, 1, 0, 0] } },
    { inputs: [reals([2, 2])], attributes: { pads: [0, 0, 0, 0] } },
  ],
  Gather: [
    { inputs: [reals([4, 3]), integers([5], [3, 0, 0, 2, 3])], attributes: { axis: 0 } },
    { inputs: [reals([4, 3]), integers([], [2])], attributes: { axis: 0 } },
    { inputs: [reals([2, 4, 3]), integers([2, 2], [1, 3, 3, 0])], attributes: { axis: 1 } },
    { inputs: [reals([2, 3]), integers([2], [-1, 1])], attributes: { axis: -1 } },
    { inputs: [reals([4]), integers([3], [-4, 3, -1])], attributes: { axis: 0 } },
    { inputs: [reals([3, 2]), integers([2], [2, 0], 'int32')], attributes: { axis: 0 } },
  ],
  QuickGelu: [1, 1.702].map((alpha) => ({
    inputs: [reals([3, 4], -3, 3)],
    attributes: { alpha },
  })),
  Attention: [
    // Samples, places of q, places of k and v, width, heads.
    [2, 3, 4, 6, 2],
    [1, 4, 4, 3, 1],
    [2, 2, 3, 8, 4],
  ].map(([batch = 0, rows = 0, others = 0, width = 0, heads = 0]) => ({
    inputs: [
      reals([batch, rows, width]),
      reals([batch, others, width]),
      reals([batch, others, width]),
    ],
    attributes: { q_num_heads: heads, kv_num_heads: heads },
  })),
  Conv: [
    // As in most networks, first, as the first two are differentiated twice.
    convolutionCase([2, 3, 4, 5], [2, 3, 3, 3], { pads: [1, 1, 1, 1], bias: true }),
    convolutionCase([2, 2, 5, 6], [4, 2, 3, 2], { strides: [2, 3], pads: [1, 0, 2, 1] }),
    convolutionCase([2, 2, 3, 3], [3, 2, 1, 1], {}),
    convolutionCase([1, 4, 5, 4], [6, 2, 3, 3], { group: 2, pads: [0, 1, 2, 1], bias: true }),
    convolutionCase([2, 3, 6, 6], [3, 1, 2, 2], { group: 3, strides: [2, 2] }),
    convolutionCase([1, 2, 6, 5], [2, 2, 3, 2], { dilations: [2, 3], pads: [1, 0, 3, 2] }),
    convolutionCase([2, 2, 7], [3, 2, 4], { pads: [2, 1], bias: true }),
    convolutionCase([2, 2, 7], [2, 2, 3], { strides: [2], dilations: [2], pads: [3, 2] }),
    // Padding that a whole kernel fits in.
    convolutionCase([1, 2, 3, 3], [2, 2, 2, 2], { pads: [2, 0, 3, 1] }),
    convolutionCase([1, 1, 3, 4, 3], [2, 1, 2, 2, 3], { pads: [0, 1, 1, 1, 0, 1] }),
  ],
  ConvTranspose: [
    transposedCase([2, 3, 3, 2], [3, 2, 3, 3], { pads: [1, 1, 1, 1], bias: true }),
    transposedCase([1, 2, 3, 2], [2, 3, 3, 2], {
      strides: [2, 3],
      pads: [1, 0, 0, 1],
      output_padding: [1, 2],
    }),
    transposedCase([2, 4, 2, 3], [4, 1, 4, 4], { group: 4, strides: [2, 2], pads: [1, 1, 1, 1] }),
    transposedCase([1, 4, 3, 3], [4, 3, 2, 3], { group: 2, dilations: [2, 1], bias: true }),
    transposedCase([2, 2, 4], [2, 3, 3], { strides: [2], pads: [1, 1], output_padding: [1] }),
  ],
};

type ConvolutionOptions = Partial<AttributesOf<'ConvTranspose'>> & { readonly bias?: boolean };

function convolutionCase(
  x: Shape,
  weight: Shape,
  { bias, ...window }: ConvolutionOptions,
): OperatorCase<'Conv'> {
  const inputs = [reals(x), reals(weight), ...(bias ? [reals([weight[0]!])] : [])];
  return { inputs, attributes: { ...plainWindow(x.length - 2), ...window } };
}

function transposedCase(
  x: Shape,
  weight: Shape,
  { bias, ...window }: ConvolutionOptions,
): OperatorCase<'ConvTranspose'> {
  const rank = x.length - 2;
  const filters = weight[1]! * (window.group ?? 1);
  const output_padding = new Array<number>(rank).fill(0);
  return {
    inputs: [reals(x), reals(weight), ...(bias ? [reals([filters])] : [])],
    attributes: { ...plainWindow(rank), output_padding, ...window },
  };
}
