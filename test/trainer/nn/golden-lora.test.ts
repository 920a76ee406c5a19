/** LoRA of Stable Diffusion 3 against ComfyUI's loader: names, merged weights, output, gradients of the factors. */
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { gradients } from '../../../src/trainer/autodiff/gradients.ts';
import { readLora } from '../../../src/trainer/files/lora-file.ts';
import type { Graph, Value } from '../../../src/trainer/graph/graph.ts';
import {
  add,
  concat,
  matMul,
  mul,
  pad,
  reduceSum,
  reshape,
  slice,
} from '../../../src/trainer/graph/ops.ts';
import { LoraScope } from '../../../src/trainer/nn/lora.ts';
import { type LowRankDelta, mergeLora } from '../../../src/trainer/nn/lora-merge.ts';
import { loraStems } from '../../../src/trainer/nn/lora-names.ts';
import { parameterList } from '../../../src/trainer/nn/network.ts';
import { type Init, ParameterScope, type Scope } from '../../../src/trainer/nn/parameters.ts';
import { type Shape, sizeOf } from '../../../src/trainer/tensor.ts';
import { type GoldenCase, goldenCases } from '../../support/golden.ts';
import { timesProjection } from '../../support/golden-mmdit.ts';
import { feedsOf, networkGraph, networkOf, numbers, PREFIX } from '../../support/golden-sd3.ts';
import { relativeGap, runOnce } from '../../support/gradcheck.ts';

const LoraSchema = z.object({
  network: z.string(),
  strengths: z.array(z.number()),
  forms: z.record(z.string(), z.object({ alpha: z.number().nullable(), scale: z.number() })),
  merged_keys: z.record(z.string(), z.record(z.string(), z.array(z.int()))),
  accepted_stems: z.record(z.string(), z.string()),
});

const TOLERANCES = { merge: 1e-6, out: 4e-5, gradients: 2e-4 };

async function setting(golden: GoldenCase) {
  const sidecar = LoraSchema.parse(golden.sidecar);
  const net = goldenCases(sidecar.network.startsWith('sd35') ? 'sd35' : 'sd3').find(
    ({ name }) => name === sidecar.network,
  )!;
  const config = networkOf(net.sidecar);
  const list = parameterList(config);
  const flat = new Float32Array(list.size);
  const weights = await net.tensors('weights');
  for (const { name, offset } of list.specs) flat.set(numbers(weights.get(PREFIX + name)!), offset);
  const views = new Map(
    list.specs.map(({ name, offset, size }) => [name, flat.subarray(offset, offset + size)]),
  );
  return {
    sidecar,
    config,
    list,
    flat,
    views,
    io: await golden.tensors(),
    inputs: await net.tensors(),
  };
}

/** A stem's target as the sidecar writes it. */
function described(
  part: { target: string; from: number; to: number; swapped: boolean },
  rows: number,
): string {
  const whole = part.from === 0 && part.to === rows;
  return `diffusion_model.${part.target}${whole ? '' : ` rows ${part.from}..${part.to}`}${part.swapped ? ' halves swapped' : ''}`;
}

/** The network with deltas in its weights, their factors as inputs `stem index/up` and `/down`: what any file can say. */
class DeltaScope implements Scope {
  readonly graph: Graph;
  readonly factors = new Map<LowRankDelta, { up: Value; down: Value }>();
  readonly #base: ParameterScope;
  readonly #deltas: readonly LowRankDelta[];

  constructor(graph: Graph, deltas: readonly LowRankDelta[]) {
    this.graph = graph;
    this.#base = new ParameterScope(graph, 'network');
    this.#deltas = deltas;
  }

  parameter(name: string, shape: Shape, init: Init): Value {
    let weight = this.#base.parameter(name, shape, init);
    for (const [i, delta] of this.#deltas.entries()) {
      if (delta.target !== name) continue;
      const { from, to, rank, inputs, scale, swapped } = delta;
      const rows = to - from;
      const up = this.graph.input(`${i}/up`, [rows, rank]);
      const down = this.graph.input(`${i}/down`, [rank, inputs]);
      this.factors.set(delta, { up, down });
      const product = mul(matMul(up, down), scale);
      const half = rows / 2;
      const ordered = swapped
        ? concat([slice(product, 0, half, rows), slice(product, 0, 0, half)], 0)
        : product;
      const placed = pad(ordered, [from, 0, shape[0]! - to, 0]);
      weight = add(weight, reshape(placed, shape));
    }
    return weight;
  }
}

describe.each(goldenCases('lora').map((golden) => [golden.name, golden] as const))(
  '%s',
  (_name, golden) => {
    test('the names that ComfyUI accepts, with what they mean', async () => {
      const { sidecar, config, list } = await setting(golden);
      const rowsOf = new Map(list.specs.map(({ name, shape }) => [name, shape[0]!]));
      const isMatrix = (target: string) => {
        const name = target.replace(/^diffusion_model\./, '').replace(/ .*$/, '');
        const spec = list.specs.find((s) => s.name === name);
        return name.endsWith('.weight') && spec !== undefined && spec.shape.length > 1;
      };
      const expected = Object.entries(sidecar.accepted_stems).filter(([, target]) =>
        isMatrix(target),
      );
      const found = [...loraStems(config, list)].map(
        ([stem, part]) => [stem, described(part, rowsOf.get(part.target)!)] as const,
      );
      expect(Object.fromEntries(found)).toEqual(Object.fromEntries(expected));
      expect(found.length).toBeGreaterThan(60);
    });

    const forms = Object.keys(LoraSchema.parse(golden.sidecar).forms);
    test.each(forms)('%s: merged weights and output', async (form) => {
      const { sidecar, config, list, flat, views, io, inputs } = await setting(golden);
      const { deltas, ignored } = await readLora(golden.file(`${form}.safetensors`), config);
      expect(ignored).toEqual([]);
      expect(new Set(deltas.map(({ target }) => PREFIX + target))).toEqual(
        new Set(Object.keys(sidecar.merged_keys[form]!)),
      );
      expect(deltas[0]!.scale).toBe(sidecar.forms[form]!.scale);
      const plain = flat.slice();
      for (const strength of sidecar.strengths) {
        flat.set(plain);
        await mergeLora(list, flat, deltas, strength);
        const { graph, out } = networkGraph(
          config,
          inputs,
          'float32',
          (g) => new ParameterScope(g, 'network'),
        );
        graph.output('out', out);
        const feeds: Map<string, ArrayLike<number>> = feedsOf(inputs);
        for (const [name, data] of views) feeds.set(`network/${name}`, data);
        const tag = `out.${form}.${strength.toFixed(1)}`;
        const got = runOnce(graph, feeds).get('out')!.data;
        expect(relativeGap(got, numbers(io.get(tag)!)), tag).toBeLessThan(TOLERANCES.out);
      }
      // The projections are those of the last form: of an earlier one they are only where it has the same widths.
      const merged = Object.entries(sidecar.merged_keys[form]!);
      const widths = new Set(merged.map(([, shape]) => sizeOf(shape.slice(1))));
      const projections = [...io.keys()].filter((name) => name.startsWith('proj.'));
      const isChecked = projections.every((name) => widths.has(Number(name.slice(5))));
      expect(isChecked || form !== forms.at(-1)).toBe(true);
      for (const [key, [rows]] of isChecked ? merged : []) {
        const weight = views.get(key.slice(PREFIX.length))!;
        const columns = weight.length / rows!;
        const proj = numbers(io.get(`proj.${columns}`)!);
        const right = timesProjection(weight, rows!, proj);
        const reference = numbers(io.get(`merged_right.${form}.${key}`)!);
        expect(relativeGap(right, reference), key).toBeLessThan(TOLERANCES.merge);
      }
    });

    test.each(forms)('%s: gradients of the factors', async (form) => {
      const { config, views, io, inputs } = await setting(golden);
      const file = await golden.tensors(form);
      const { deltas } = await readLora(golden.file(`${form}.safetensors`), config);
      let scope: DeltaScope | undefined;
      const { graph, out } = networkGraph(config, inputs, 'float32', (g) => {
        scope = new DeltaScope(g, deltas);
        return scope;
      });
      const loss = reduceSum(mul(out, graph.input('cotangent', out.shape)));
      const feeds: Map<string, ArrayLike<number>> = feedsOf(inputs);
      for (const [name, data] of views) feeds.set(`network/${name}`, data);
      const wanted = deltas.map((delta) => scope!.factors.get(delta)!);
      const found = gradients(
        loss,
        wanted.flatMap(({ up, down }) => [up, down]),
      );
      for (const [i, { up, down }] of deltas.entries()) {
        graph.output(`grad ${i}/up`, found[2 * i]!);
        graph.output(`grad ${i}/down`, found[2 * i + 1]!);
        feeds.set(`${i}/up`, up).set(`${i}/down`, down);
      }
      const results = runOnce(graph, feeds);
      const nameOf = (data: Float32Array) =>
        [...file].find(([, tensor]) => relativeGap(numbers(tensor), data) === 0)![0];
      for (const [i, { up, down }] of deltas.entries()) {
        for (const [role, data] of [
          ['up', up],
          ['down', down],
        ] as const) {
          const name = nameOf(data);
          const got = results.get(`grad ${i}/${role}`)!.data;
          expect(relativeGap(got, numbers(io.get(`grad.${name}`)!)), name).toBeLessThan(
            TOLERANCES.gradients,
          );
        }
      }
    });

    test('native: adapters beside frozen weights give the same output and gradients', async () => {
      const { config, views, io, inputs, sidecar } = await setting(golden);
      const { deltas } = await readLora(golden.file('native.safetensors'), config);
      const targets = deltas.map(({ target }) => target.replace(/\.weight$/, ''));
      const lora = { rank: deltas[0]!.rank, alpha: sidecar.forms['native']!.alpha!, targets };
      let adapters: ParameterScope | undefined;
      const { graph, out } = networkGraph(config, inputs, 'float32', (g) => {
        adapters = new ParameterScope(g, 'lora');
        return new LoraScope(new ParameterScope(g, 'network'), adapters, lora);
      });
      graph.output('out', out);
      const loss = reduceSum(mul(out, graph.input('cotangent', out.shape)));
      const { specs } = adapters!.list();
      expect(specs.length).toBe(2 * deltas.length);
      for (const [i, gradient] of gradients(loss, adapters!.values()).entries()) {
        graph.output(`grad.diffusion_model.${specs[i]!.name}`, gradient);
      }
      const feeds: Map<string, ArrayLike<number>> = feedsOf(inputs);
      for (const [name, data] of views) feeds.set(`network/${name}`, data);
      for (const { target, up, down } of deltas) {
        const layer = target.replace(/\.weight$/, '');
        feeds.set(`lora/${layer}.lora_up.weight`, up).set(`lora/${layer}.lora_down.weight`, down);
      }
      for (const [name, { data }] of runOnce(graph, feeds)) {
        const reference = io.get(name === 'out' ? 'out.native.1.0' : name)!;
        const tolerance = name === 'out' ? TOLERANCES.out : TOLERANCES.gradients;
        expect(relativeGap(data, numbers(reference)), name).toBeLessThan(tolerance);
      }
    });
  },
);
