import { describe, expect, onTestFinished, test } from 'vitest';
import { gradients } from '../../../src/trainer/autodiff/gradients.ts';
import { linearPath } from '../../../src/trainer/flow/path.ts';
import { Graph } from '../../../src/trainer/graph/graph.ts';
import { flowMatchingLoss } from '../../../src/trainer/methods/flow-matching.ts';
import { cachedBatch, parameterList, velocity } from '../../../src/trainer/nn/network.ts';
import { ParameterScope, views } from '../../../src/trainer/nn/parameters.ts';
import { ADAM } from '../../../src/trainer/run/distiller.ts';
import { largestDivisor, TRAINED } from '../../../src/trainer/run/gradient-graph.ts';
import { GradientStep } from '../../../src/trainer/run/gradient-step.ts';
import { Learner } from '../../../src/trainer/run/learner.ts';
import { Pacer } from '../../../src/trainer/run/pacer.ts';
import { relativeGap, runOnce } from '../../support/gradcheck.ts';
import { noiseOf, TINY_MLP, tinyModel, WIDE_MLP } from '../../support/tiny-models.ts';

const OPTIONS = {
  ...ADAM,
  clipNorm: 0,
  clipValue: 0,
  ema: false,
  emaDecay: 0,
};

describe('micro-batches', () => {
  test.each([
    [256, 300, 256],
    [256, 255, 128],
    [100, 30, 25],
    [7, 6, 1],
    [1, 1, 1],
  ])('a batch of %i in parts of at most %i: %i', (batch, most, expected) => {
    expect(largestDivisor(batch, most)).toBe(expected);
  });

  test.each([
    ['one part', TINY_MLP, 12],
    ['several parts', WIDE_MLP, 256],
  ])(
    '%s: the gradient and the loss are those of the whole batch',
    async (title, network, batch) => {
      expect(cachedBatch(network) < batch).toBe(title === 'several parts');
      const { parameters } = tinyModel(network);
      const list = parameterList(network);
      const learner = new Learner('test', list, parameters.slice(), OPTIONS);
      const feeds = { x0: { shape: [2] }, x1: { shape: [2] }, t: { shape: [] } };
      const step = new GradientStep({
        name: 'test',
        network,
        batch,
        learner,
        frozen: {},
        feeds,
        build: (field, { x0, x1, t }) => {
          const { xt, c } = linearPath(x0!, x1!, t!);
          return { loss: flowMatchingLoss(field(TRAINED)(xt, t!), c) };
        },
      });
      onTestFinished(() => {
        step.dispose();
        learner.dispose();
      });
      const data = new Map<string, Float32Array>();
      for (const [i, [name, { shape }]] of Object.entries(feeds).entries()) {
        data.set(name, noiseOf([batch, ...shape], i).data);
        (step.feed(name) as Float32Array).set(data.get(name)!);
      }
      let besides = 0;
      const meanwhile = async () => {
        besides++;
      };
      const pacer = new Pacer();
      // The gradient of the run before must not be left in it.
      await step.run(pacer, meanwhile);
      const meters = await step.run(pacer, meanwhile);
      expect(besides).toBe(2);

      const graph = new Graph();
      const scope = new ParameterScope(graph, 'network');
      const input = (name: 'x0' | 'x1' | 't') => graph.input(name, [batch, ...feeds[name].shape]);
      const { xt, c } = linearPath(input('x0'), input('x1'), input('t'));
      const loss = flowMatchingLoss(velocity(scope, network, xt, input('t')), c);
      graph.output('loss', loss);
      for (const [i, g] of gradients(loss, scope.values()).entries()) {
        graph.output(list.specs[i]!.name, g);
      }
      for (const [name, tensor] of views(list, parameters))
        data.set(`network/${name}`, tensor.data);
      const expected = runOnce(graph, data);
      expect(relativeGap([meters['loss']!], expected.get('loss')!.data)).toBeLessThan(1e-5);
      for (const [name, tensor] of views(list, learner.gradient)) {
        expect(relativeGap(tensor.data, expected.get(name)!.data), name).toBeLessThan(1e-5);
      }
    },
  );
});
