import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { registryTypes } from '../../src/host/object-info.ts';
import { convertUiWorkflow } from '../../src/host/ui-to-api.ts';
import { validateWorkflow } from '../../src/host/validate.ts';
import { parseWorkflow } from '../../src/host/workflow.ts';
import { allNodes } from '../../src/nodes/all-nodes.ts';
import { testNodes } from './support.ts';

const { registry } = testNodes();
const types = registryTypes(registry);

async function fixture(name: string): Promise<unknown> {
  const file = new URL(`fixtures/${name}.json`, import.meta.url);
  return JSON.parse(await readFile(file, 'utf8'));
}

describe.each(['samplers.ui', 'samplers.ui-v1'])('the fixture %s', (name) => {
  test('becomes exactly its API form', async () => {
    const { api } = convertUiWorkflow(await fixture(name), registryTypes(allNodes()), name);
    expect(api).toEqual(await fixture('samplers.api'));
  });

  test('is valid', async () => {
    const nodes = allNodes();
    const workflow = parseWorkflow(await fixture(name), nodes, name);
    expect(validateWorkflow(workflow, nodes)).toEqual([]);
  });
});

interface Slot {
  name: string;
  type: unknown;
  link?: number | null;
}

function node(id: number | string, type: string, rest: object = {}, inputs: Slot[] = []) {
  return { id, type, mode: 0, inputs, ...rest };
}

function image(link: number | null, name = 'image'): Slot {
  return { name, type: 'IMAGE', link };
}

/** Links as "id: origin.slot". */
function convert(nodes: object[], links: Record<number, [origin: number | string, slot: number]>) {
  const tuples = Object.entries(links).map(([id, [origin, slot]]) => [
    Number(id),
    origin,
    slot,
    0,
    0,
    'IMAGE',
  ]);
  return convertUiWorkflow({ version: 0.4, nodes, links: tuples }, types, 'ui.json').api;
}

describe('widget values', () => {
  test('belong to inputs in the order of the definition, with a slot behind each seed', () => {
    const api = convert(
      [node(1, 'Paint', { widgets_values: [0.25, 7, 'randomize', 'noisy'] })],
      {},
    );
    expect(api['1']?.inputs).toEqual({ grey: 0.25, seed: 7, style: 'noisy' });
  });

  test('that the file leaves out keep their defaults', () => {
    const api = convert([node(1, 'Paint', { widgets_values: [0.25] }), node(2, 'Paint')], {});
    expect(api['1']?.inputs).toEqual({ grey: 0.25, seed: 0, style: 'flat' });
    expect(api['2']?.inputs).toEqual({ grey: 0.5, seed: 0, style: 'flat' });
  });

  test('may be saved by name', () => {
    const api = convert([node(1, 'Paint', { widgets_values: { seed: 3, style: 'noisy' } })], {});
    expect(api['1']?.inputs).toEqual({ grey: 0.5, seed: 3, style: 'noisy' });
  });

  test('give way to a link', () => {
    const api = convert(
      [
        node(1, 'Mix', { widgets_values: ['typed'] }),
        node(2, 'Show', { widgets_values: ['typed', true] }, [
          { name: 'caption', type: 'STRING', link: 1 },
        ]),
      ],
      { 1: [1, 0] },
    );
    expect(api['2']?.inputs).toEqual({ caption: ['1', 0], isLoud: true });
  });
});

describe('front-end-only nodes', () => {
  test('reroutes are passed through, also in a row', () => {
    const api = convert(
      [
        node(1, 'Paint'),
        node(2, 'Reroute', {}, [{ name: '', type: '*', link: 1 }]),
        node(3, 'Reroute', {}, [{ name: '', type: '*', link: 2 }]),
        node(4, 'Show', {}, [image(3)]),
      ],
      { 1: [1, 0], 2: [2, 0], 3: [3, 0] },
    );
    expect(Object.keys(api)).toEqual(['1', '4']);
    expect(api['4']?.inputs['image']).toEqual(['1', 0]);
  });

  test('a primitive gives its value to the widgets that it is linked to, and to nothing further', () => {
    const caption = (id: number, link: number) =>
      node(id, 'Show', { widgets_values: ['typed', false] }, [
        { name: 'caption', type: 'STRING', link },
        image(link),
      ]);
    const api = convert(
      [
        node(1, 'PrimitiveNode', { widgets_values: ['hello', 'fixed'] }),
        node(2, 'Reroute', {}, [{ name: '', type: '*', link: 1 }]),
        caption(3, 1),
        caption(4, 2),
      ],
      { 1: [1, 0], 2: [2, 0] },
    );
    expect(api['3']?.inputs).toEqual({ caption: 'hello', isLoud: false });
    expect(api['4']?.inputs).toEqual({ caption: 'typed', isLoud: false });
  });

  test('notes vanish', () => {
    expect(convert([node(1, 'Note'), node(2, 'MarkdownNote')], {})).toEqual({});
  });
});

describe('muted and bypassed nodes', () => {
  test('what a muted node gives is missing', () => {
    const api = convert(
      [
        node(1, 'Paint', { mode: 2 }),
        node(2, 'Show', { widgets_values: ['c', false] }, [image(1)]),
      ],
      { 1: [1, 0] },
    );
    expect(Object.keys(api)).toEqual(['2']);
    expect(api['2']?.inputs).toEqual({ caption: 'c', isLoud: false });
  });

  test('a bypassed node passes the opposite input on when its type fits', () => {
    const mix = node(3, 'Mix', { mode: 4 }, [image(1, 'a'), image(2, 'b')]);
    const api = convert(
      [node(1, 'Paint'), node(2, 'Paint'), mix, node(4, 'Show', {}, [image(3)])],
      {
        1: [1, 0],
        2: [2, 0],
        // Slot 1 of Mix is its image; the opposite input is b.
        3: [3, 1],
      },
    );
    expect(api['4']?.inputs['image']).toEqual(['2', 0]);
  });

  test('a bypassed node goes by the positions of the running node, not of the file', () => {
    // The file lists only b; a is unlinked but stands before it. Slot 0 is a STRING, whose opposite, a, does not fit.
    const mix = node(3, 'Mix', { mode: 4, widgets_values: ['n'] }, [image(1, 'b')]);
    const show = node(4, 'Show', { widgets_values: ['typed', false] }, [
      { name: 'caption', type: 'STRING', link: 2 },
    ]);
    const api = convert([node(1, 'Paint'), mix, show], { 1: [1, 0], 2: [3, 0] });
    expect(api['4']?.inputs['caption']).toBe('typed');
  });

  test('a bypassed node of an unknown type goes by what the file says', () => {
    const foreign = node(3, 'Upscale', { mode: 4, outputs: [{ name: 'IMAGE', type: 'IMAGE' }] }, [
      { name: 'model', type: 'MODEL', link: null },
      image(1, 'pixels'),
    ]);
    const api = convert([node(1, 'Paint'), foreign, node(4, 'Show', {}, [image(2)])], {
      1: [1, 0],
      2: [3, 0],
    });
    expect(Object.keys(api)).toEqual(['1', '4']);
    expect(api['4']?.inputs['image']).toEqual(['1', 0]);
  });
});

test('titles are those of the file, or of the definition; node ids may be text', () => {
  const api = convert([node('p1', 'Paint', { title: 'My Paper' }), node(2, 'Paint')], {});
  expect(api['p1']).toMatchObject({ class_type: 'Paint', _meta: { title: 'My Paper' } });
  expect(api['2']).toMatchObject({ class_type: 'Paint', _meta: { title: 'Paint' } });
});

test('a list is wrapped, as it would read as a link', () => {
  const api = convert([node(1, 'Mix', { widgets_values: [['a', 'b']] })], {});
  expect(api['1']?.inputs).toEqual({ name: { __value__: ['a', 'b'] } });
});

test('a node that is not installed is named beside the result, which has no type for it', () => {
  const json = { nodes: [node(1, 'Piant', { widgets_values: [1, 2] })], links: [] };
  const { api, missing } = convertUiWorkflow(json, types, 'ui.json');
  expect(api).toEqual({ 1: { inputs: { UNKNOWN: 1, UNKNOWN_1: 2 }, _meta: {} } });
  expect([...missing]).toEqual([['1', 'Piant']]);
});

test('an unknown node is left for validation to name', () => {
  const ui = { nodes: [node(1, 'Piant', { widgets_values: [1, 2] })], links: [] };
  const workflow = parseWorkflow(ui, registry, 'ui.json');
  expect(validateWorkflow(workflow, registry)).toEqual([
    { node: '1', message: 'there is no node Piant (did you mean Paint?)' },
  ]);
});

describe('what cannot be converted is reported with its node', () => {
  const subgraph = '2f1c9a7e-5b0f-4c0e-9a54-2f4f7c3f9d21';
  test.each<[string, object, object]>([
    [
      'a subgraph that contains itself',
      {
        nodes: [node(5, subgraph)],
        definitions: { subgraphs: [{ id: subgraph, nodes: [node(6, subgraph)] }] },
      },
      { node: '5:6', message: 'the subgraph contains itself' },
    ],
    [
      'a link that is not in the file',
      { nodes: [node(5, 'Show', {}, [image(9)])] },
      { node: '5', field: 'image', message: 'its link 9 is not in the file' },
    ],
    [
      'a link from a node that is not in the file',
      { nodes: [node(5, 'Show', {}, [image(1)])], links: [[1, 7, 0, 5, 0, 'IMAGE']] },
      { node: '5', field: 'image', message: 'it is linked to node 7, which is not in the file' },
    ],
    [
      'a circle of reroutes',
      {
        nodes: [
          node(1, 'Reroute', {}, [{ name: '', type: '*', link: 1 }]),
          node(5, 'Show', {}, [image(2)]),
        ],
        links: [
          [1, 1, 0, 1, 0, '*'],
          [2, 1, 0, 5, 0, 'IMAGE'],
        ],
      },
      { node: '5', field: 'image', message: 'its link runs in a circle through node 1' },
    ],
  ])('%s', (_, json, issue) => {
    const convertIt = () => convertUiWorkflow(json, types, 'ui.json');
    expect(convertIt).toThrow(
      expect.objectContaining({
        code: 'WORKFLOW_INVALID',
        details: expect.objectContaining({ issues: [issue] }),
      }),
    );
  });

  test('a muted subgraph is no obstacle', () => {
    const json = {
      nodes: [node(5, subgraph, { mode: 2 })],
      definitions: { subgraphs: [{ id: subgraph }] },
    };
    expect(convertUiWorkflow(json, types, 'ui.json').api).toEqual({});
  });

  test('a damaged file', () => {
    const json = { nodes: [{ id: 1 }], links: [['x']] };
    expect(() => convertUiWorkflow(json, types, 'ui.json')).toThrow(/ui.json is a damaged/);
  });
});
