import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { readObjectInfo } from '../../src/host/object-info.ts';
import { readControls } from '../../src/host/ui-widgets.ts';

const golden = new URL('../golden/pairs/object_info.json', import.meta.url);
const installed = JSON.parse(await readFile(golden, 'utf8')) as Record<string, unknown>;

/** A node type with these inputs, named in order. */
function typeOf(inputs: Record<string, unknown>, optional: Record<string, unknown> = {}) {
  const types = readObjectInfo({ Test: { input: { required: inputs, optional } } }, 'test');
  return types.find('Test')!;
}

/** Values that the front end would have. */
function valuesOf(info: ReturnType<typeof typeOf>, widgets_values: unknown, type = 'Test') {
  const node = { id: 1, type, mode: 0, widgets_values: widgets_values as unknown[] };
  const { widgets } = readControls(node, info);
  return Object.fromEntries([...widgets].map(([name, { value }]) => [name, value]));
}

describe('entries of widgets_values', () => {
  test.each<[string, unknown[], Record<string, unknown>]>([
    [
      'KSampler',
      [7, 'randomize', 20, 8, 'euler', 'normal', 0.5],
      { seed: 7, steps: 20, cfg: 8, sampler_name: 'euler', scheduler: 'normal', denoise: 0.5 },
    ],
    ['LoadImage', ['example.png', 'image'], { image: 'example.png' }],
    ['RandomNoise', [5, 'fixed'], { noise_seed: 5 }],
    ['PrimitiveInt', [5, 'fixed'], { value: 5 }],
    ['PrimitiveFloat', [0.5], { value: 0.5 }],
    [
      'ResizeImageMaskNode',
      ['scale by multiplier', 2.5, 'lanczos'],
      {
        resize_type: 'scale by multiplier',
        'resize_type.multiplier': 2.5,
        scale_method: 'lanczos',
      },
    ],
    [
      'SaveVideo',
      ['v', 'mp4', 'h264', 're-encode', 20, 'HDR', 'auto'],
      {
        filename_prefix: 'v',
        format: 'mp4',
        'format.codec': 'h264',
        'format.codec.encoding': 're-encode',
        'format.codec.encoding.crf': 20,
        'format.codec.encoding.color_space': 'HDR',
        codec: 'auto',
      },
    ],
  ])('of %s', (type, saved, expected) => {
    const info = readObjectInfo(installed, 'object_info.json').find(type)!;
    expect(valuesOf(info, saved, type)).toEqual(expected);
  });

  test.each<[string, unknown, unknown[]]>([
    ['a seed by name', ['INT', {}], [3, 'fixed', 9]],
    ['a seed that is told not to', ['INT', { control_after_generate: false }], [3, 9]],
    ['a float with control', ['FLOAT', { control_after_generate: 'fixed' }], [3, 'fixed', 9]],
    ['a combo with control', [[3], { control_after_generate: true }], [3, 'fixed', '', 9]],
    ['a plain text', ['STRING', {}], [3, 9]],
  ])('of %s', (_, spec, saved) => {
    const info = typeOf({ seed: spec, next: ['INT', {}] });
    expect(valuesOf(info, saved)).toEqual({ seed: 3, next: 9 });
  });

  test('of inputs that are sockets only are dropped where old files have them', () => {
    const info = typeOf({
      a: ['INT', {}],
      forced: ['FLOAT', { forceInput: true }],
      b: ['STRING', {}],
    });
    expect(valuesOf(info, [1, 0.5, 'x'])).toEqual({ a: 1, b: 'x' });
    expect(valuesOf(info, [1, 'x'])).toEqual({ a: 1, b: 'x' });
  });

  test('may be saved by name', () => {
    const info = typeOf({ a: ['INT', {}], b: ['STRING', { default: 'd' }] });
    expect(valuesOf(info, { a: 4 })).toEqual({ a: 4, b: 'd' });
  });
});

test('values that are missing are the first ones of their widgets', () => {
  const info = typeOf({
    int: ['INT', { min: 1 }],
    given: ['INT', { default: 4 }],
    float: ['FLOAT'],
    text: ['STRING'],
    flag: ['BOOLEAN', {}],
    combo: [['x', 'y']],
    newer: ['COMBO', { options: ['p', 'q'], default: 'q' }],
    empty: [[]],
  });
  expect(valuesOf(info, [])).toEqual({
    int: 0,
    given: 4,
    float: 0,
    text: '',
    flag: false,
    combo: 'x',
    newer: 'q',
    empty: undefined,
  });
});

test('a combo without value takes its first one, where there is one', () => {
  const info = typeOf({ a: [['x', 'y']], b: [[]] });
  expect(valuesOf(info, [null, null])).toEqual({ a: 'x', b: null });
});

describe('sockets', () => {
  const info = typeOf(
    {
      text: ['STRING', {}],
      image: ['IMAGE', {}],
      rate: ['FLOAT,INT', { widgetType: 'FLOAT' }],
      any: ['COMFY_MATCHTYPE_V3', { template: { template_id: 't', allowed_types: '*' } }],
    },
    { rows: ['COMFY_AUTOGROW_V3', { template: {} }], mask: ['MASK'] },
  );

  test('are plain ones first, then one for each widget; growing rows are those of the file', () => {
    const slot = (name: string, type: string, link: number | null) => ({ name, type, link });
    const inputs = [
      slot('rows.b', 'IMAGE', 3),
      slot('text', 'STRING', 1),
      slot('any', 'LATENT', 2),
    ];
    const node = { id: 1, type: 'Test', mode: 0, inputs };
    expect(readControls(node, info).sockets).toEqual([
      { name: 'image', type: 'IMAGE', link: undefined },
      { name: 'any', type: 'LATENT', link: 2 },
      { name: 'rows.b', type: 'IMAGE', link: 3 },
      { name: 'mask', type: 'MASK', link: undefined },
      { name: 'text', type: 'STRING', link: 1 },
      { name: 'rate', type: 'FLOAT,INT', link: undefined },
    ]);
  });

  test('that a pack added in the browser are kept', () => {
    const inputs = [{ name: 'extra', type: 'IMAGE', link: 4 }];
    const { sockets } = readControls({ id: 1, type: 'Test', mode: 0, inputs }, info);
    expect(sockets.at(-1)).toEqual({ name: 'extra', type: 'IMAGE', link: 4 });
  });
});
