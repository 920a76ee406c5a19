/** Noise levels, guidance, latents and samples of Stable Diffusion 3 against ComfyUI's samplers. */
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { guidedVelocity } from '../../../src/trainer/flow/guidance.ts';
import { latentIn, latentOut } from '../../../src/trainer/flow/sd3-latent.ts';
import {
  percentToSigma,
  SCHEDULERS,
  sigmaSchedule,
  tableSigma,
} from '../../../src/trainer/flow/sd3-schedule.ts';
import { Graph } from '../../../src/trainer/graph/graph.ts';
import { interpret } from '../../../src/trainer/graph/interpreter.ts';
import { velocity } from '../../../src/trainer/nn/network.ts';
import { ParameterScope } from '../../../src/trainer/nn/parameters.ts';
import type { Tensor } from '../../../src/trainer/tensor.ts';
import { type GoldenCase, goldenCases } from '../../support/golden.ts';
import { networkOf, numbers, PREFIX } from '../../support/golden-sd3.ts';
import { type RealType, relativeGap, runOnce } from '../../support/gradcheck.ts';

const SamplingSchema = z.object({
  network: z.string(),
  sigma_table: z.object({
    shift: z.number(),
    entries: z.record(z.string(), z.number()),
    percent_to_sigma: z.record(z.string(), z.number()),
  }),
  schedules: z.record(
    z.string(),
    z.record(z.string(), z.array(z.union([z.number(), z.literal('nan')]))),
  ),
  runs: z.record(
    z.string(),
    z.object({
      steps: z.int(),
      cfg: z.number(),
      denoise: z.number().optional(),
      latent: z.boolean().optional(),
      sigmas: z.array(z.number()),
    }),
  ),
});
type Run = z.infer<typeof SamplingSchema>['runs'][string];

const SCHEDULE_TOLERANCE = 1e-6;
const all = goldenCases('sd3');

function expectClose(found: readonly number[], expected: readonly number[], what: string): void {
  expect(found.length, what).toBe(expected.length);
  for (const [i, value] of expected.entries()) {
    expect(Math.abs(found[i]! - value), `${what}, ${i}`).toBeLessThanOrEqual(SCHEDULE_TOLERANCE);
  }
}

/** v(x, sigma) of a case's network with guidance, run by a backend. */
async function guidedNetwork(
  golden: GoldenCase,
  io: ReadonlyMap<string, Tensor>,
  cfg: number,
  dtype: RealType,
) {
  const config = networkOf(golden.sidecar);
  const weights = await golden.tensors('weights');
  const graph = new Graph();
  const input = (name: string) => graph.input(name, io.get(name)!.shape, dtype);
  const x = graph.input('x', io.get('noise')!.shape, dtype);
  const t = graph.input('t', [1], dtype);
  const scope = new ParameterScope(graph, 'network', dtype);
  const with_ = (context: string, pooled: string) =>
    velocity(scope, config, x, t, { context: input(context), pooled: input(pooled) });
  const v = with_('context', 'y');
  const texts = cfg === 1 ? ['context', 'y'] : ['context', 'y', 'uncond.context', 'uncond.y'];
  graph.output(
    'v',
    cfg === 1 ? v : guidedVelocity(v, with_('uncond.context', 'uncond.y'), t, { scale: cfg }),
  );
  const fixed = [
    ...texts.map((name) => [name, numbers(io.get(name)!)] as const),
    ...[...weights].map(
      ([name, tensor]) => [`network/${name.slice(PREFIX.length)}`, numbers(tensor)] as const,
    ),
  ];
  return (at: ArrayLike<number>, sigma: number) => {
    const feeds = new Map<string, ArrayLike<number>>([...fixed, ['x', at], ['t', [sigma]]]);
    return (dtype === 'float64' ? interpret(graph, feeds) : runOnce(graph, feeds)).get('v')!.data;
  };
}

describe.each(
  all
    .filter(({ name }) => name.includes('sampling'))
    .map((golden) => [golden.name, golden] as const),
)('%s', (_name, golden) => {
  const { sigma_table: table, schedules, runs, network } = SamplingSchema.parse(golden.sidecar);
  const { shift } = table;

  test('the table of noise levels', () => {
    for (const [i, sigma] of Object.entries(table.entries)) {
      expectClose([tableSigma(Number(i), shift)], [sigma], `entry ${i}`);
    }
    for (const [percent, sigma] of Object.entries(table.percent_to_sigma)) {
      expectClose([percentToSigma(Number(percent), shift)], [sigma], `percent ${percent}`);
    }
  });

  test.each(SCHEDULERS)('scheduler %s', (scheduler) => {
    const expected = Object.entries(schedules[scheduler]!);
    expect(expected.length).toBeGreaterThan(2);
    for (const [steps, sigmas] of expected) {
      // ComfyUI divides by 0 for one step of kl_optimal.
      if (sigmas.includes('nan')) continue;
      const found = sigmaSchedule(scheduler, Number(steps), { shift });
      expectClose(found, sigmas as number[], `${scheduler}, ${steps} steps`);
    }
  });

  async function sampled(run: Run, dtype: RealType) {
    const io = await golden.tensors();
    const net = all.find(({ name }) => name === network)!;
    const v = await guidedNetwork(net, io, run.cfg, dtype);
    const options = { shift, ...(run.denoise !== undefined && { denoise: run.denoise }) };
    const sigmas = sigmaSchedule('simple', run.steps, options);
    expectClose(sigmas, run.sigmas, 'sigmas');
    const noise = io.get('noise')!.data as Float32Array;
    const latent = io.get('latent')!.data as Float32Array;
    const start = latentIn(run.latent ? latent : new Float32Array(noise.length));
    let x = Float64Array.from(noise, (z, i) => sigmas[0]! * z + (1 - sigmas[0]!) * start[i]!);
    const first = x;
    for (const [k, sigma] of sigmas.slice(0, -1).entries()) {
      const slope = v(x, sigma);
      x = x.map((value, i) => value + (sigmas[k + 1]! - sigma) * slope[i]!);
    }
    return { io, first, samples: latentOut(Float32Array.from(x)) };
  }

  test.each(Object.entries(runs))('%s, ONNX Runtime', async (name, run) => {
    const { io, first, samples } = await sampled(run, 'float32');
    expect(relativeGap(first, numbers(io.get(`${name}.x_start`)!))).toBeLessThan(1e-6);
    expect(relativeGap(samples, numbers(io.get(`${name}.samples`)!))).toBeLessThan(1e-5);
  });
});
