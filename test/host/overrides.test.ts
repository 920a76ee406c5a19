import { expect, test } from 'vitest';
import { applyOverrides } from '../../src/host/overrides.ts';
import { testNodes, workflowOf } from './support.ts';

const { registry } = testNodes();
const workflow = workflowOf(
  {
    1: ['Paint', { grey: 0.5 }, 'Paper v1.5'],
    2: ['Mix', { a: ['1', 0], b: ['1', 0], name: ['9', 0] }],
    3: ['Show', { image: ['2', 1] }, 'Left'],
    4: ['Show', { image: ['2', 1] }, 'Right'],
  },
  registry,
);

test.each([
  ['by id', '1.grey=0.25', '1', 'grey', 0.25],
  ['by title with dots', 'Paper v1.5.seed=7', '1', 'seed', 7],
  ['by type', 'Paint.style=noisy', '1', 'style', 'noisy'],
  ['by title where the type is not unique', 'Right.isLoud=true', '4', 'isLoud', true],
  ['of a text with "=" and "." in it', 'Left.caption=a=b.c=d', '3', 'caption', 'a=b.c=d'],
  ['of a text that looks like a number', 'Left.caption=12', '3', 'caption', '12'],
  ['to an empty text', 'Left.caption=', '3', 'caption', ''],
  ['of a number in scientific notation', '1.grey=1e-3', '1', 'grey', 0.001],
  ['of an input that was linked', '2.name=fixed', '2', 'name', 'fixed'],
])('an override %s is applied', (_, override, node, input, value) => {
  const changed = applyOverrides(workflow, [override], registry);
  expect(changed.get(node)?.inputs[input]).toEqual({ kind: 'constant', value });
});

test('later overrides win and the original stays as it is', () => {
  const changed = applyOverrides(workflow, ['1.grey=0.1', '1.grey=0.2'], registry);
  expect(changed.get('1')?.inputs['grey']).toEqual({ kind: 'constant', value: 0.2 });
  expect(workflow.get('1')?.inputs['grey']).toEqual({ kind: 'constant', value: 0.5 });
});

test.each([
  ['1.grey', /is not NODE.INPUT=VALUE/],
  ['grey=1', /is not NODE.INPUT=VALUE/],
  ['.grey=1', /is not NODE.INPUT=VALUE/],
  ['1.=1', /is not NODE.INPUT=VALUE/],
  ['9.grey=1', /there is no node 9/],
  ['Pant.grey=1', /there is no node Pant \(did you mean Paint\?\)/],
  ['Show.caption=x', /Show is not one node: 3 \(Left\), 4 \(Right\)/],
  ['1.gray=1', /has no input gray \(did you mean grey\?\)/],
  ['2.a=1', /a takes a link of type IMAGE/],
  ['1.grey=dark', /grey needs a number, not "dark"/],
  ['1.grey=', /grey needs a number, not ""/],
  ['1.grey=Infinity', /grey needs a number/],
  ['3.isLoud=yes', /isLoud needs true or false/],
])('override %s is refused', (override, message) => {
  const apply = () => applyOverrides(workflow, [override], registry);
  expect(apply).toThrow(message);
  expect(apply).toThrow(expect.objectContaining({ code: 'USAGE' }));
});
