import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { NodeDefinitionSchema } from '../../src/bridge/protocol/node-definition.ts';
import { allNodes } from '../../src/nodes/all-nodes.ts';

const docs = fileURLToPath(new URL('../../web/docs', import.meta.url));
const definitions = allNodes().list();

describe.each(definitions.map((definition) => [definition.id, definition] as const))(
  '%s',
  (id, definition) => {
    test('has a valid definition whose default values are within its own bounds', () => {
      expect(NodeDefinitionSchema.parse(definition)).toEqual(definition);
      for (const input of definition.inputs) {
        if (input.default === undefined) continue;
        const schema = allNodes().find(id)?.inputs.shape[input.name];
        expect(schema?.safeParse(input.default).success, input.name).toBe(true);
      }
    });

    test('has a help page that names every input and output', async () => {
      const page = await readFile(`${docs}/${id}.md`, 'utf8');
      expect(page).toContain(`# ${definition.displayName}`);
      for (const { name } of [...definition.inputs, ...definition.outputs]) {
        expect(page, name).toContain(`\`${name}\``);
      }
    });
  },
);

test('every help page belongs to a node', async () => {
  const ids = definitions.map((d) => `${d.id}.md`);
  expect(ids).toEqual(expect.arrayContaining(await readdir(docs)));
});
