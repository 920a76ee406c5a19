/** A file that tools/convert-edm.py made of a network pickled by EDM is a model of ours, with the velocity that PyTorch gives. */
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { readSafetensors } from '../../../src/trainer/files/safetensors.ts';
import { Graph } from '../../../src/trainer/graph/graph.ts';
import { interpret } from '../../../src/trainer/graph/interpreter.ts';
import { parameterList, velocity } from '../../../src/trainer/nn/network.ts';
import { ParameterScope, views } from '../../../src/trainer/nn/parameters.ts';
import { loadModel } from '../../../src/trainer/run/model-file.ts';
import type { Tensor } from '../../../src/trainer/tensor.ts';
import { relativeGap } from '../../support/gradcheck.ts';

const golden = (name: string) =>
  fileURLToPath(new URL(`../../golden/edm-tiny-ncsnpp.${name}.safetensors`, import.meta.url));

const numbers = ({ data }: Tensor) => Float64Array.from<number | bigint>(data, Number);

test('a converted network', async () => {
  const { info, parameters } = await loadModel(golden('converted'));
  expect(info.role).toBe('teacher');
  expect(info.dataset.name).toBe('cifar10-32x32');
  expect(info.network).toMatchObject({
    kind: 'song-unet',
    encoder: 'residual',
    precondition: 'edm',
  });

  const { tensors } = await readSafetensors(golden('io'));
  const graph = new Graph();
  const scope = new ParameterScope(graph, 'network', 'float64');
  const feeds = new Map<string, ArrayLike<number>>();
  const input = (name: string) => {
    feeds.set(name, numbers(tensors.get(name)!));
    return graph.input(name, tensors.get(name)!.shape, 'float64');
  };
  graph.output('u', velocity(scope, info.network, input('flow.x_t'), input('flow.t')));
  for (const [name, { data }] of views(parameterList(info.network), parameters)) {
    feeds.set(`network/${name}`, data);
  }
  const u = interpret(graph, feeds).get('u')!.data;
  // The reference is rounded to float32.
  expect(relativeGap(u, numbers(tensors.get('flow.u')!))).toBeLessThan(3e-7);
});
