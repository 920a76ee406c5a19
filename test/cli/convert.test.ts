import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { tempFolder } from '../support/temp-folder.ts';
import { callCli } from './support.ts';

const at = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const info = at('golden/pairs/object_info.json');

test('prints the API form, and nothing else', async () => {
  const { code, stdout, stderr } = await callCli([
    ...['convert', at('golden/pairs/subgraph_simple.ui.json'), '--object-info', info],
  ]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(JSON.parse(stdout)['8:5']).toMatchObject({ class_type: 'KSampler' });
});

test('knows the nodes of Flowstep without being told', async () => {
  const { code, stdout, stderr } = await callCli(['convert', at('../workflows/fgm-2d.json')]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(JSON.parse(stdout)['4']).toMatchObject({
    class_type: 'FlowstepDistill',
    inputs: { steps: 3000, teacher: ['2', 0] },
  });
});

test('names nodes that are not installed, and says where definitions come from', async () => {
  const file = at('golden/pairs/missing_node_type.ui.json');
  const alone = await callCli(['convert', file]);
  expect(alone.code).toBe(0);
  expect(alone.stderr).toContain('node 2: there is no node NoSuchPackNode');
  expect(alone.stderr).toContain('--object-info');
  const told = await callCli(['convert', file, '--object-info', info]);
  expect(told.stderr).toMatch(/^node 2: there is no node NoSuchPackNode[^\n]*\n$/);
});

test('keeps seeds that no number holds, of both forms', async () => {
  const folder = await tempFolder();
  const seed = '18446744073709551615';
  const ui = `{"nodes": [{"id": 1, "type": "RandomNoise", "widgets_values": [${seed}, "fixed"]}]}`;
  const api = `{"1": {"class_type": "RandomNoise", "inputs": {"noise_seed": ${seed}}}}`;
  for (const [name, text] of Object.entries({ ui, api })) {
    const file = join(folder, `${name}.json`);
    await writeFile(file, text);
    const { code, stdout } = await callCli(['convert', file, '--object-info', info]);
    expect(code).toBe(0);
    expect(stdout).toContain(`"noise_seed": ${seed}\n`);
  }
});

test.each([
  ['a file that is not there', '{"nodes": []}', undefined, 'FILE_NOT_FOUND'],
  ['definitions that are not JSON', '{"nodes": []}', '{', 'FILE_FORMAT'],
  ['definitions that are a list', '{"nodes": []}', '[]', 'FILE_FORMAT'],
  ['a file that is no workflow', '[]', '{}', 'WORKFLOW_INVALID'],
])('%s is refused by name', async (_, workflow, definitions, code) => {
  const folder = await tempFolder();
  const [file, given] = [join(folder, 'w.json'), join(folder, 'info.json')];
  await writeFile(file, workflow);
  if (definitions !== undefined) await writeFile(given, definitions);
  const result = await callCli(['convert', file, '--object-info', given]);
  expect(result.code).toBe(1);
  expect(result.stdout).toBe('');
  expect(result.stderr).toMatch(new RegExp(`error ${code}: .*(w|info)\\.json`));
});
