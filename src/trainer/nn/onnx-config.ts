/** @file The configuration of a network that came as an ONNX graph. */
import { z } from 'zod';

/** What the network's output is, for x between data x0 and noise x1. */
export const PREDICTIONS = ['velocity', 'denoiser', 'noise'] as const;

/**
 * How the network is told the time and how its input is mixed. With t = 0 for data and 1 for noise, and noise level
 * sigma = t / (1 - t): `flow` t of (1 - t) x0 + t x1; `flow-1000` 1000 t of the same; `reversed` 1 - t of the same, its velocity
 * being x0 - x1; `sigma` sigma of x0 + sigma x1 (EDM); `ddpm` the step of a variance preserving chain.
 */
export const TIME_CONVENTIONS = ['flow', 'flow-1000', 'reversed', 'sigma', 'ddpm'] as const;

/** The variances of a DDPM chain: `linear` (Ho et al. 2020), `scaled-linear` (Stable Diffusion 1 and 2) or `cosine` (Nichol & Dhariwal 2021, which has no ends). */
export const ChainSchema = z
  .strictObject({
    betas: z.enum(['linear', 'scaled-linear', 'cosine']).default('linear'),
    from: z.number().gt(0).lt(1).default(0.0001),
    to: z.number().gt(0).lt(1).default(0.02),
    steps: z.int().min(2).max(10_000).default(1000),
  })
  .refine(({ from, to }) => from <= to, { error: 'must not be below from', path: ['to'] });

/** What has to be known of a network beyond its graph, whoever says it. */
export const ConventionFields = {
  predicts: z.enum(PREDICTIONS),
  time: z.enum(TIME_CONVENTIONS),
  /** Least and greatest noise level that the network knows, for `sigma`. */
  sigmas: z.tuple([z.number().gt(0), z.number().gt(0)]).default([0.002, 80]),
  /** For `ddpm`. */
  chain: ChainSchema.prefault({}),
  /** The noisiest time that the network knows, where that is below what follows from the above. */
  latest: z.number().gt(0).max(1).default(1),
};

const name = z.string().min(1).max(1000);

/** Names of the graph's inputs, by what they are fed. */
export const InputNamesSchema = z.strictObject({
  x: name,
  time: name,
  /** Numbers of classes [batch], or one-hot rows [batch, classes]. */
  labels: name.optional(),
  /** Text, one vector a token: [batch, tokens, width]. */
  context: name.optional(),
  /** Text, one vector for all of it: [batch, width]. */
  pooled: name.optional(),
});

export type InputNames = z.infer<typeof InputNamesSchema>;

/** Most characters of a graph: some hundred thousand nodes. */
const MAX_GRAPH = 1 << 26;

/**
 * A network whose graph is an ONNX model without its weights, in base64; the weights are its parameters, under their own
 * names. `shape` is that of a sample; `classes` 0 = unconditional; `contextWidth` and `pooledWidth` are those of text, 0 =
 * none, and `tokens` the number of tokens where the graph fixes it, 0 = any. `frozen` weights are never trained.
 */
export const OnnxConfigSchema = z
  .strictObject({
    kind: z.literal('onnx'),
    shape: z.array(z.int().min(1)).min(1).max(4),
    graph: z.base64().min(1).max(MAX_GRAPH),
    inputs: InputNamesSchema,
    ...ConventionFields,
    classes: z.int().min(0).max(100_000).default(0),
    contextWidth: z.int().min(0).default(0),
    pooledWidth: z.int().min(0).default(0),
    tokens: z.int().min(0).default(0),
    frozen: z.array(name).default([]),
  })
  .refine(({ contextWidth, pooledWidth }) => contextWidth > 0 || pooledWidth === 0, {
    error: 'text needs a context',
    path: ['contextWidth'],
  })
  .refine(({ sigmas: [least, greatest] }) => least < greatest, {
    error: 'the first must be below the second',
    path: ['sigmas'],
  });

export type OnnxConfig = z.infer<typeof OnnxConfigSchema>;

export type Convention = Pick<OnnxConfig, 'predicts' | 'time' | 'sigmas' | 'chain' | 'latest'>;
