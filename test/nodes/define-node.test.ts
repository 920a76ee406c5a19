import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { NodeDefinitionSchema } from '../../src/bridge/protocol/node-definition.ts';
import { defineNode } from '../../src/nodes/define-node.ts';
import { ImageSchema } from '../../src/nodes/handles.ts';
import { createRegistry } from '../../src/nodes/registry.ts';
import { float32 } from '../../src/trainer/tensor.ts';
import { makeContext, makeRoots } from './support.ts';

const node = defineNode({
  id: 'Example',
  displayName: 'An Example',
  category: 'tests',
  description: 'Shows every kind of input.',
  inputs: z.object({
    picture: ImageSchema.meta({ tooltip: 'linked' }),
    name: z.string().min(1).meta({ tooltip: 'typed in' }),
    mask: ImageSchema.optional().meta({ tooltip: 'linked, optional' }),
    count: z.int().min(1).max(9).default(3).meta({ tooltip: 'whole', step: 2 }),
    scale: z.number().min(0.5).max(2).default(1).meta({ tooltip: 'real' }),
    mode: z.enum(['a', 'b']).default('b').meta({ tooltip: 'one of' }),
    isLoud: z.boolean().default(false).meta({ tooltip: 'yes or no' }),
    seed: z.int().min(0).max(99).default(0).meta({ tooltip: 's', controlAfterGenerate: 'fixed' }),
  }),
  outputs: {
    picture: ImageSchema.meta({ tooltip: 'out' }),
    text: z.string().meta({ tooltip: 'out too' }),
  },
  async execute({ picture, name, count }) {
    return { outputs: { picture, text: name.repeat(count) } };
  },
});

const picture = float32(new Float32Array(12), [1, 2, 2, 3]);

describe('a node definition', () => {
  test('comes from the schema alone', () => {
    expect(node.definition.inputs).toEqual([
      { name: 'picture', type: 'IMAGE', required: true, tooltip: 'linked' },
      { name: 'name', type: 'STRING', required: true, tooltip: 'typed in' },
      { name: 'mask', type: 'IMAGE', required: false, tooltip: 'linked, optional' },
      {
        name: 'count',
        type: 'INT',
        required: false,
        tooltip: 'whole',
        default: 3,
        min: 1,
        max: 9,
        step: 2,
      },
      {
        name: 'scale',
        type: 'FLOAT',
        required: false,
        tooltip: 'real',
        default: 1,
        min: 0.5,
        max: 2,
      },
      {
        name: 'mode',
        type: 'COMBO',
        required: false,
        tooltip: 'one of',
        default: 'b',
        options: ['a', 'b'],
      },
      { name: 'isLoud', type: 'BOOLEAN', required: false, tooltip: 'yes or no', default: false },
      {
        name: 'seed',
        type: 'INT',
        required: false,
        tooltip: 's',
        default: 0,
        min: 0,
        max: 99,
        controlAfterGenerate: 'fixed',
      },
    ]);
    expect(node.definition.outputs).toEqual([
      { name: 'picture', type: 'IMAGE', tooltip: 'out' },
      { name: 'text', type: 'STRING', tooltip: 'out too' },
    ]);
    expect(node.definition.outputNode).toBe(false);
  });

  test('survives the journey as JSON', () => {
    const travelled: unknown = JSON.parse(JSON.stringify(node.definition));
    expect(NodeDefinitionSchema.parse(travelled)).toEqual(node.definition);
  });

  test.each([
    ['an input without a tooltip', { x: z.boolean().default(true) }, /tooltip/],
    ['a number without bounds', { x: z.number().default(1).meta({ tooltip: 't' }) }, /bounds/],
    [
      'a schema that has no widget and no link tag',
      { x: z.array(z.string()).meta({ tooltip: 't' }) },
      /link/,
    ],
    [
      'a required input after one with a default',
      { x: z.string().default('').meta({ tooltip: 't' }), y: z.string().meta({ tooltip: 't' }) },
      /required/,
    ],
  ])('refuses %s', (_, shape: Record<string, z.ZodType>, message) => {
    const define = () =>
      defineNode({
        id: 'Bad',
        displayName: 'Bad',
        category: 'tests',
        description: 'Bad.',
        inputs: z.object(shape),
        outputs: {},
        execute: async () => ({ outputs: {} }),
      });
    expect(define).toThrow(message);
  });
});

describe('running a node', () => {
  test('fills in defaults', async () => {
    const context = makeContext(await makeRoots());
    const { outputs } = await node.run({ picture, name: 'ab' }, context);
    expect(outputs['text']).toBe('ababab');
  });

  test('reports every wrong input at once, in plain words', async () => {
    const context = makeContext(await makeRoots());
    const values = { picture: 'no', count: 10, scale: 0.1, mode: 'c', isLoud: 1, seed: 1.5 };
    await expect(node.run(values, context)).rejects.toMatchObject({
      code: 'WORKFLOW_INVALID',
      details: {
        issues: [
          { field: 'picture', message: 'must be a float32 tensor' },
          { field: 'name', message: 'is missing' },
          { field: 'count', message: 'must be at most 9, not 10' },
          { field: 'scale', message: 'must be at least 0.5, not 0.1' },
          { field: 'mode', message: 'must be one of a, b, not "c"' },
          { field: 'isLoud', message: 'must be a boolean, not 1' },
          { field: 'seed', message: 'must be a whole number, not 1.5' },
        ],
      },
    });
  });
});

describe('a fingerprint', () => {
  const fingerprinted = defineNode({
    id: 'Printed',
    displayName: 'Printed',
    category: 'tests',
    description: 'Depends on the folders.',
    inputs: z.object({ name: z.string().default('x').meta({ tooltip: 'n' }) }),
    outputs: {},
    fingerprint: async ({ name }, { roots }) => `${name} ${roots.data}`,
    execute: async () => ({ outputs: {} }),
  });

  test('sees the inputs with defaults filled in, and the context', async () => {
    const context = makeContext(await makeRoots());
    expect(await fingerprinted.fingerprint({}, context)).toBe(`x ${context.roots.data}`);
  });

  test('is known without what comes through links, and only then are required inputs left out', async () => {
    const context = makeContext(await makeRoots());
    const linked = defineNode({
      id: 'Linked',
      displayName: 'Linked',
      category: 'tests',
      description: 'Names a file and takes a picture.',
      inputs: z.object({
        picture: ImageSchema.meta({ tooltip: 'p' }),
        file: z.string().default('x').meta({ tooltip: 'f' }),
      }),
      outputs: {},
      fingerprint: async ({ picture: given, file }) => `${file} ${given === undefined}`,
      execute: async () => ({ outputs: {} }),
    });
    expect(await linked.fingerprint({ file: 'y' }, context)).toBe('y true');
    expect(await linked.fingerprint({ picture }, context)).toBe('x false');
    await expect(linked.fingerprint({ file: 7 }, context)).rejects.toMatchObject({
      code: 'WORKFLOW_INVALID',
      details: { issues: [{ field: 'file' }] },
    });
    await expect(linked.run({ file: 'y' }, context)).rejects.toThrow('picture: is missing');
  });

  test('is what tells nodes that read files from others', () => {
    expect([fingerprinted.readsFiles, node.readsFiles]).toEqual([true, false]);
  });

  test('is undefined for a node that depends on its inputs alone', async () => {
    const context = makeContext(await makeRoots());
    expect(await node.fingerprint({ picture, name: 'a' }, context)).toBeUndefined();
  });
});

test('inputs are read without running: defaults filled in, wrong ones refused', () => {
  expect(node.readInputs({ picture, name: 'a', count: 5 })).toEqual({
    picture,
    name: 'a',
    count: 5,
    scale: 1,
    mode: 'b',
    isLoud: false,
    seed: 0,
  });
  expect(() => node.readInputs({ picture })).toThrow(/An Example: name: is missing/);
});

test('two nodes of one id are a bug', () => {
  expect(() => createRegistry([node, node])).toThrow(/two nodes have the id Example/);
});
