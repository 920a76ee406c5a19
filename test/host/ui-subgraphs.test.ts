/** What the recorded pairs do not show: subgraphs and group nodes at the edges. */
import { describe, expect, test } from 'vitest';
import { registryTypes } from '../../src/host/object-info.ts';
import { convertUiWorkflow } from '../../src/host/ui-to-api.ts';
import { testNodes } from './support.ts';

const types = registryTypes(testNodes().registry);

function slot(name: string, type: string, link: number | null = null, isWidget = false) {
  return { name, type, link, ...(isWidget && { widget: { name } }) };
}

type Slots = ReturnType<typeof slot>[];

function node(id: number, type: string, inputs: Slots = [], rest: object = {}) {
  return { id, type, mode: 0, inputs, ...rest };
}

function apiOf(json: object) {
  return convertUiWorkflow(json, types, 'ui.json').api;
}

function inputsOf(json: object, id: string) {
  return apiOf(json)[id]?.inputs;
}

/** A link as subgraphs save it: from and to are "node.slot". */
function link(id: number, from: string, to: string) {
  const [origin_id, origin_slot] = from.split('.').map(Number);
  const [target_id, target_slot] = to.split('.').map(Number);
  return { id, origin_id, origin_slot, target_id, target_slot, type: '*' };
}

const PAINT = 'subgraph-paint';

/** Paint whose grey and seed are promoted; its image goes out, and what comes in goes out as it is. */
const paintDefinition = {
  id: PAINT,
  nodes: [
    node(1, 'Paint', [slot('grey', 'FLOAT', 1, true), slot('seed', 'INT', 2, true)], {
      widgets_values: [0.25, 3, 'fixed', 'noisy'],
      outputs: [slot('image', 'IMAGE'), slot('latent', 'LATENT')],
    }),
  ],
  inputs: [{ name: 'pass' }, { name: 'grey' }, { name: 'seed' }],
  links: [
    link(1, '-10.1', '1.0'),
    link(2, '-10.2', '1.1'),
    link(3, '1.0', '-20.0'),
    link(4, '-10.0', '-20.1'),
  ],
};

/** A file with one instance of it, node 5, whose outputs go into a Mix, node 6. */
function withInstance(instance: object, paint: object = {}) {
  const [inner] = paintDefinition.nodes;
  return {
    nodes: [
      node(4, 'Paint'),
      node(5, PAINT, [slot('pass', 'IMAGE', 1)], instance),
      node(6, 'Mix', [slot('a', 'IMAGE', 2), slot('b', 'IMAGE', 3)]),
    ],
    links: [
      [1, 4, 0, 5, 0, 'IMAGE'],
      [2, 5, 0, 6, 0, 'IMAGE'],
      [3, 5, 1, 6, 1, 'IMAGE'],
    ],
    definitions: { subgraphs: [{ ...paintDefinition, nodes: [{ ...inner, ...paint }] }] },
  };
}

describe('a subgraph', () => {
  test('gives what its inner nodes give, and what only passes through it', () => {
    expect(inputsOf(withInstance({}), '6')).toEqual({ name: 'mix', a: ['5:1', 0], b: ['4', 0] });
  });

  test('whose inner node is muted gives nothing there', () => {
    expect(inputsOf(withInstance({}, { mode: 2 }), '6')).toEqual({ name: 'mix', b: ['4', 0] });
  });

  test('has values for its inputs in their order; those without a widget are not counted', () => {
    const { '5:1': paint } = apiOf(withInstance({ widgets_values: [0.75, 8] }));
    expect(paint?.inputs).toEqual({ grey: 0.75, seed: 8, style: 'noisy' });
  });

  test('keeps inner values where it has none of its own', () => {
    const { '5:1': paint } = apiOf(withInstance({ widgets_values: [0.75] }));
    expect(paint?.inputs).toEqual({ grey: 0.75, seed: 3, style: 'noisy' });
  });

  test('takes values that could not be carried over from where they lie aside', () => {
    const aside = [{ originalEntry: ['-1', 'seed'], reason: 'missingSourceNode', hostValue: 9 }];
    const properties = { proxyWidgetErrorQuarantine: aside };
    const { '5:1': paint } = apiOf(withInstance({ widgets_values: [0.75, 8], properties }));
    expect(paint?.inputs).toMatchObject({ grey: 0.75, seed: 9 });
  });

  test('sets widgets that older front ends showed without an input', () => {
    const properties = { proxyWidgets: [['1', 'style'], ['-1', 'grey'], 'damaged'] };
    const { '5:1': paint } = apiOf(withInstance({ widgets_values: ['flat', 0.5], properties }));
    expect(paint?.inputs).toEqual({ grey: 0.5, seed: 3, style: 'flat' });
  });
});

test('inner ids that the root has too are given anew, also where proxies name them', () => {
  const file = withInstance({
    widgets_values: ['flat'],
    properties: { proxyWidgets: [['1', 'style']] },
  });
  const api = apiOf({ ...file, nodes: [...file.nodes, node(1, 'Paint')], last_node_id: 20 });
  expect(api['5:21']?.inputs).toMatchObject({ grey: 0.25, style: 'flat' });
  expect(api['6']?.inputs).toMatchObject({ a: ['5:21', 0] });
  expect(api).not.toHaveProperty('5:1');
});

describe('a group node', () => {
  /** Paint and Mix, linked inside; Mix's b and Show's caption are outside. */
  const groupNodes = {
    Art: {
      nodes: [
        {
          type: 'Paint',
          outputs: [slot('image', 'IMAGE')],
          widgets_values: [0.5, 0, 'fixed', 'flat'],
        },
        {
          type: 'Mix',
          inputs: [slot('a', 'IMAGE'), slot('b', 'IMAGE')],
          outputs: [slot('name', 'STRING'), slot('image', 'IMAGE')],
          widgets_values: ['mix'],
        },
        {
          type: 'Show',
          inputs: [slot('image', 'IMAGE'), slot('caption', 'STRING', null, true)],
          widgets_values: ['inner', false],
        },
      ],
      links: [
        [0, 0, 1, 0, 0, 'IMAGE'],
        [1, 1, 2, 0, 0, 'IMAGE'],
        [null, 0, 1, 1, 0, 'IMAGE'],
      ],
      external: [[1, 1, 'IMAGE']],
      config: { 0: { input: { style: { visible: false } } } },
    },
  };
  const outside = [
    node(1, 'Paint'),
    node(2, 'Mix'),
    node(3, 'workflow>Art', [slot('b', 'IMAGE', 1), slot('Show caption', 'STRING', 2, true)], {
      widgets_values: [0.125, 77, 'increment', 'named', true],
    }),
    node(4, 'Show', [slot('image', 'IMAGE', 3)]),
  ];
  const links = [
    [1, 1, 0, 3, 0, 'IMAGE'],
    [2, 2, 0, 3, 1, 'STRING'],
    [3, 3, 1, 4, 0, 'IMAGE'],
  ];

  test('becomes a subgraph: its values go to the widgets that it shows, its links to their places', () => {
    const api = apiOf({ nodes: outside, links, last_node_id: 4, extra: { groupNodes } });
    expect(Object.keys(api).sort()).toEqual(['1', '2', '4', '8:5', '8:6', '8:7']);
    expect(api['8:5']?.inputs).toEqual({ grey: 0.125, seed: 77, style: 'flat' });
    expect(api['8:6']?.inputs).toEqual({ name: 'named', a: ['8:5', 0], b: ['1', 0] });
    expect(api['8:7']?.inputs).toEqual({ image: ['8:6', 1], caption: ['2', 0], isLoud: true });
    expect(api['4']?.inputs).toMatchObject({ image: ['8:6', 1] });
  });

  test('that the file does not define is a node that is not installed', () => {
    const { missing } = convertUiWorkflow({ nodes: outside, links }, types, 'ui.json');
    expect([...missing]).toEqual([['3', 'workflow>Art']]);
  });
});
