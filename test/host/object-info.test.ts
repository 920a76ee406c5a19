import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { objectInfo, readObjectInfo, registryTypes } from '../../src/host/object-info.ts';
import { allNodes } from '../../src/nodes/all-nodes.ts';

const golden = new URL('../golden/pairs/object_info.json', import.meta.url);
const comfyui = JSON.parse(await readFile(golden, 'utf8')) as Record<string, object>;

describe('our definitions in ComfyUI form', () => {
  const definitions = allNodes().list();

  test('have the keys that ComfyUI gives its own V1 nodes', () => {
    const theirs = Object.keys(comfyui['SaveImage']!);
    const ours = Object.keys(objectInfo(definitions[0]!));
    const optional = ['has_intermediate_output', 'essentials_category', 'output_tooltips'];
    for (const key of theirs.filter((k) => !optional.includes(k))) expect(ours).toContain(key);
  });

  test.each(definitions)('$id keeps its inputs in order, and its outputs', (definition) => {
    const { input, input_order, output, output_name } = objectInfo(definition);
    const names = [...input_order.required, ...input_order.optional];
    expect(names).toEqual(definition.inputs.map(({ name }) => name));
    expect(Object.keys({ ...input.required, ...input.optional })).toEqual(names);
    expect(output).toEqual(definition.outputs.map(({ type }) => type));
    expect(output_name).toEqual(definition.outputs.map(({ name }) => name));
  });

  test.each([
    ['distillation', 'FlowstepDistill'],
    ['turbo', 'FlowstepOneStepSampler'],
    ['FID', 'FlowstepEvaluate'],
  ])('are found by %s, as users of other packs would call them', (word, id) => {
    const { search_aliases } = objectInfo(definitions.find((d) => d.id === id)!);
    expect(search_aliases).toContain(word);
  });

  test('say what a widget needs', () => {
    const find = (id: string) => objectInfo(definitions.find((d) => d.id === id)!).input.optional;
    const sampler = find('FlowstepTeacherSampler');
    expect(sampler['seed']).toEqual([
      'INT',
      expect.objectContaining({ default: 0, min: 0, control_after_generate: 'randomize' }),
    ]);
    const [solvers, solver] = sampler['solver']!;
    expect(solvers).toContain('euler');
    expect(solver).toMatchObject({ default: 'euler', tooltip: expect.any(String) });
    expect(sampler['latent']).toEqual(['LATENT', { tooltip: expect.any(String) }]);
    // The front end would else round 0.0001 to its step.
    expect(find('FlowstepTrainTeacher')['learning_rate']![1]).toMatchObject({ round: false });
  });

  test('are read back', () => {
    const types = registryTypes(allNodes());
    expect(types.find('FlowstepDistill')?.display_name).toBe('FGM Distill');
    expect(types.find('KSampler')).toBeUndefined();
    expect(types.find('constructor')).toBeUndefined();
  });
});

describe('the answer of /object_info', () => {
  test('of both node APIs is read', () => {
    const types = readObjectInfo(comfyui, 'object_info.json');
    for (const name of Object.keys(comfyui)) expect(types.find(name), name).toBeDefined();
    expect(types.find('KSampler')?.input?.required?.['sampler_name']).toMatchObject({
      type: 'COMBO',
      options: { options: expect.arrayContaining(['euler']) },
    });
  });

  test('that is something else is refused by name', () => {
    expect(() => readObjectInfo([], 'info.json')).toThrow(
      expect.objectContaining({
        code: 'FILE_FORMAT',
        message: expect.stringContaining('info.json'),
      }),
    );
  });

  test('with one damaged entry serves the others', () => {
    const types = readObjectInfo({ Odd: { input: 5 }, Fine: { input: {} } }, 'info.json');
    expect(types.find('Fine')).toBeDefined();
    expect(() => types.find('Odd')).toThrow(/info\.json: the definition of Odd is damaged/);
  });
});
