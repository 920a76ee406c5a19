import { existsSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readRoots } from '../../src/config.ts';

describe('folders', () => {
  test('come from the environment', () => {
    const roots = readRoots({ FLOWSTEP_MODELS: '/m', FLOWSTEP_OUTPUT: '/o', FLOWSTEP_DATA: '/d' });
    expect(roots).toEqual({ models: '/m', output: '/o', data: '/d' });
  });

  test('of models may be several', () => {
    const roots = readRoots({ FLOWSTEP_MODELS: ['/m', '/more', '/most'].join(delimiter) });
    expect(roots).toMatchObject({ models: '/m', moreModels: ['/more', '/most'] });
  });

  test('are below the current folder by default, as absolute paths', () => {
    expect(readRoots({})).toMatchObject({ output: resolve('output'), data: resolve('data') });
  });

  test('the command line goes before the environment', () => {
    expect(readRoots({ FLOWSTEP_OUTPUT: '/o' }, { output: '/here' }).output).toBe('/here');
  });

  test('models fall back to those of the package', () => {
    expect(existsSync(join(readRoots({}).models))).toBe(true);
  });

  test.each(['FLOWSTEP_MODELS', 'FLOWSTEP_OUTPUT', 'FLOWSTEP_DATA'])(
    '%s must not be empty',
    (name) => {
      expect(() => readRoots({ [name]: '' })).toThrow(`${name} must not be empty`);
    },
  );
});
