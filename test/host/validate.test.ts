import { describe, expect, test } from 'vitest';
import { validateWorkflow } from '../../src/host/validate.ts';
import { testNodes, workflowOf } from './support.ts';

const { registry } = testNodes();

function issuesOf(nodes: Parameters<typeof workflowOf>[0]) {
  return validateWorkflow(workflowOf(nodes, registry), registry);
}

const paint = ['Paint', {}] as const;

test('a sound workflow has no issues', () => {
  expect(issuesOf({ 1: paint, 2: ['Show', { image: ['1', 0], caption: 'x' }] })).toEqual([]);
});

describe.each<[string, Parameters<typeof workflowOf>[0], object[]]>([
  [
    'an unknown node, with a guess',
    { 1: paint, 2: ['Shoe', { image: ['1', 0] }] },
    [{ node: '2', message: 'there is no node Shoe (did you mean Show?)' }],
  ],
  [
    'an unknown node, without a guess',
    { 1: paint, 2: ['KSampler', {}], 3: ['Show', { image: ['1', 0] }] },
    [{ node: '2', message: 'there is no node KSampler' }],
  ],
  [
    'an unknown input, with a guess',
    { 1: paint, 2: ['Show', { image: ['1', 0], captoin: 'x' }] },
    [{ node: '2', field: 'captoin', message: 'is no input of the node (did you mean caption?)' }],
  ],
  [
    'a missing required input',
    { 2: ['Show', {}] },
    [{ node: '2', field: 'image', message: 'is missing' }],
  ],
  [
    'a value where a link must be',
    { 2: ['Show', { image: 5 }] },
    [{ node: '2', field: 'image', message: 'needs a link from an output of type IMAGE' }],
  ],
  [
    'a text for a number',
    { 1: ['Paint', { grey: '0.5' }], 2: ['Show', { image: ['1', 0] }] },
    [{ node: '1', field: 'grey', message: 'must be a number, not "0.5"' }],
  ],
  [
    'a fraction for a whole number',
    { 1: ['Paint', { seed: 0.5 }], 2: ['Show', { image: ['1', 0] }] },
    [{ node: '1', field: 'seed', message: 'must be a whole number, not 0.5' }],
  ],
  [
    'a number for a text, and null for yes or no',
    { 1: paint, 2: ['Show', { image: ['1', 0], caption: 1, isLoud: null }] },
    [
      { node: '2', field: 'caption', message: 'must be a string, not 1' },
      { node: '2', field: 'isLoud', message: 'must be a boolean, not null' },
    ],
  ],
  [
    'numbers out of range',
    { 1: ['Paint', { grey: 1.5, seed: -1 }], 2: ['Show', { image: ['1', 0] }] },
    [
      { node: '1', field: 'grey', message: 'must be at most 1, not 1.5' },
      { node: '1', field: 'seed', message: 'must be at least 0, not -1' },
    ],
  ],
  [
    'a choice that does not exist',
    { 1: ['Paint', { style: 'loud' }], 2: ['Show', { image: ['1', 0] }] },
    [{ node: '1', field: 'style', message: 'must be one of flat, noisy, not "loud"' }],
  ],
  [
    'a link to a missing node',
    { 2: ['Show', { image: ['9', 0] }] },
    [{ node: '2', field: 'image', message: 'is linked to node 9, which is not in the workflow' }],
  ],
  [
    'a link to a missing slot',
    { 1: paint, 2: ['Show', { image: ['1', 2] }] },
    [
      {
        node: '2',
        field: 'image',
        message: 'is linked to slot 2 of node 1 (Paint), which has 2 outputs',
      },
    ],
  ],
  [
    'a link to a negative slot',
    { 1: paint, 2: ['Show', { image: ['1', -1] }] },
    [
      {
        node: '2',
        field: 'image',
        message: 'is linked to slot -1 of node 1 (Paint), which has 2 outputs',
      },
    ],
  ],
  [
    'a link of the wrong type',
    { 1: paint, 2: ['Show', { image: ['1', 1] }] },
    [{ node: '2', field: 'image', message: 'takes IMAGE, but latent of node 1 (Paint) is LATENT' }],
  ],
  [
    'a cycle',
    {
      1: ['Mix', { a: ['2', 1], b: ['3', 0] }],
      2: ['Mix', { a: ['1', 1], b: ['3', 0] }, 'Second'],
      3: paint,
      4: ['Show', { image: ['1', 1] }],
    },
    [{ node: '1', message: 'links run in a circle: 1 (Mix) -> 2 (Second) -> 1 (Mix)' }],
  ],
  [
    'a node that takes its own output',
    { 1: ['Mix', { a: ['1', 1], b: ['1', 1] }], 4: ['Show', { image: ['1', 1] }] },
    [{ node: '1', message: 'links run in a circle: 1 (Mix) -> 1 (Mix)' }],
  ],
  ['nothing to run', { 1: paint }, [{ message: 'nothing to run: the workflow has none of Show' }]],
  ['an empty workflow', {}, [{ message: 'nothing to run: the workflow has none of Show' }]],
])('%s', (_, nodes, issues) => {
  test('is reported', () => expect(issuesOf(nodes)).toEqual(issues));
});

test('all issues of all nodes come at once', () => {
  const issues = issuesOf({
    1: ['Paint', { grey: 2, shade: 1 }],
    2: ['Mix', { a: ['1', 0] }],
    3: ['Show', { image: ['2', 1], isLoud: 'yes' }],
    4: ['Sho', {}],
  });
  expect(issues.map(({ node, field }) => [node, field])).toEqual([
    ['4', undefined],
    ['1', 'shade'],
    ['1', 'grey'],
    ['2', 'b'],
    ['3', 'isLoud'],
  ]);
});

test('what stands beside the graph may be unfinished, as in ComfyUI', () => {
  const nodes = { 1: paint, 2: ['Show', { image: ['1', 0] }] as const, 3: ['Mix', {}] as const };
  expect(issuesOf(nodes)).toEqual([]);
});

test('an input may take the output of another node in place of its widget', () => {
  const nodes = {
    1: paint,
    2: ['Mix', { a: ['1', 0], b: ['1', 0] }] as const,
    3: ['Show', { image: ['2', 1], caption: ['2', 0] }] as const,
  };
  expect(issuesOf(nodes)).toEqual([]);
});
