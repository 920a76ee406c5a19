/**
 * Workflows as the real front end saved and converted them. The cases are those of `golden/pairs`,
 * or of the folder that FLOWSTEP_PAIRS names.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { parseLossless } from '../../src/host/lossless-json.ts';
import { readObjectInfo } from '../../src/host/object-info.ts';
import { convertUiWorkflow } from '../../src/host/ui-to-api.ts';

const here = fileURLToPath(new URL('../golden/pairs/', import.meta.url));
const folder = process.env['FLOWSTEP_PAIRS'] ?? here;
const UI = '.ui.json';
const names = (await readdir(folder))
  .filter((file) => file.endsWith(UI))
  .map((file) => file.slice(0, -UI.length));

async function read(name: string): Promise<unknown> {
  return parseLossless(await readFile(join(folder, name), 'utf8'));
}

/** Titles that the file sets, at any depth. */
function titlesIn(json: unknown): string[] {
  if (typeof json !== 'object' || json === null) return [];
  const own = 'title' in json && typeof json.title === 'string' ? [json.title] : [];
  return [...own, ...Object.values(json).flatMap(titlesIn)];
}

type Api = Record<string, { readonly _meta?: { readonly title?: string } }>;

/** Other titles are the front end's translation of the type's name, which is not in the pair. */
function withTitlesOf(api: Api, titles: readonly string[]): unknown {
  return Object.fromEntries(
    Object.entries(api).map(([id, { _meta, ...node }]) => [
      id,
      { ...node, title: titles.find((title) => title === _meta?.title) },
    ]),
  );
}

test('there are pairs', () => {
  expect(names, `pairs in ${folder}`).not.toEqual([]);
});

describe('becomes what the front end makes of it', () => {
  test.each(names)('%s', async (name) => {
    const types = readObjectInfo(await read('object_info.json'), 'object_info.json');
    const ui = await read(`${name}${UI}`);
    const titles = titlesIn(ui);
    const { api } = convertUiWorkflow(ui, types, name);
    const expected = (await read(`${name}.api.json`)) as Api;
    expect(withTitlesOf(api, titles)).toEqual(withTitlesOf(expected, titles));
  });
});
