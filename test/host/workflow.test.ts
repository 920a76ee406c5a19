import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FlowstepError } from '../../src/errors.ts';
import { runWorkflowFile } from '../../src/host/run-file.ts';
import { validateWorkflow } from '../../src/host/validate.ts';
import { parseWorkflow, readWorkflow } from '../../src/host/workflow.ts';
import { allNodes } from '../../src/nodes/all-nodes.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { testNodes } from './support.ts';

const shipped = fileURLToPath(new URL('../../workflows/', import.meta.url));
/** Those for Stable Diffusion 3 have nodes of ComfyUI's own; shipped-workflows.test.ts reads them with its definitions. */
const files = (await readdir(shipped)).filter(
  (name) => name.endsWith('.json') && !name.startsWith('sd3-'),
);

describe.each(files)('the shipped workflow %s', (name) => {
  test('is valid', async () => {
    const registry = allNodes();
    const workflow = await readWorkflow(join(shipped, name), registry);
    expect(validateWorkflow(workflow, registry)).toEqual([]);
  });

  test('gives every node a title of its own, so that --set can name it', async () => {
    const workflow = await readWorkflow(join(shipped, name), allNodes());
    const titles = [...workflow.values()].map((node) => node.title);
    expect(titles).not.toContain(undefined);
    expect(new Set(titles).size).toBe(titles.length);
  });
});

describe('a file that is no workflow', () => {
  test.each([
    ['that is not there', undefined, 'FILE_NOT_FOUND'],
    ['that is not JSON', '{', 'FILE_FORMAT'],
    ['that is a number', '5', 'WORKFLOW_INVALID'],
    ['that is a list', '[]', 'WORKFLOW_INVALID'],
    ['that holds something else', '{"name": "x", "version": 1}', 'WORKFLOW_INVALID'],
    ['whose node has no type', '{"1": {"inputs": {}}}', 'WORKFLOW_INVALID'],
  ])('%s is refused by name', async (_, text, code) => {
    const file = join(await tempFolder(), 'some.json');
    if (text !== undefined) await writeFile(file, text);
    await expect(readWorkflow(file, allNodes())).rejects.toMatchObject({
      code,
      message: expect.stringContaining(file),
    });
  });
});

test('links may have numeric ids', () => {
  const { registry } = testNodes();
  const api = {
    1: { class_type: 'Paint', inputs: {} },
    2: { class_type: 'Show', inputs: { image: [1, 0] } },
  };
  expect(validateWorkflow(parseWorkflow(api, registry, 'x'), registry)).toEqual([]);
});

test('any JSON is either read or refused with a code', () => {
  const { registry } = testNodes();
  fc.assert(
    fc.property(fc.jsonValue(), (json) => {
      for (const input of [json, { nodes: json }, { nodes: [json], links: [json] }, { 1: json }]) {
        try {
          validateWorkflow(parseWorkflow(input, registry, 'x'), registry);
        } catch (error) {
          expect(error).toBeInstanceOf(FlowstepError);
        }
      }
    }),
  );
});

test('an invalid workflow fails before anything runs', async () => {
  const { registry, painted } = testNodes();
  const file = join(await tempFolder(), 'bad.json');
  await writeFile(
    file,
    JSON.stringify({
      1: { class_type: 'Paint', inputs: {} },
      2: { class_type: 'Show', inputs: { image: ['1', 0], caption: 5 } },
    }),
  );
  const roots = { models: '/nowhere', output: '/nowhere', data: '/nowhere' };
  await expect(runWorkflowFile(file, { registry, roots })).rejects.toMatchObject({
    code: 'WORKFLOW_INVALID',
    details: { file, issues: [{ node: '2', field: 'caption' }] },
  });
  expect(painted()).toBe(0);
});
