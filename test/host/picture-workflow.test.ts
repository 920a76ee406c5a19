/** @file Pictures that carry their workflow, and workflows that are read out of pictures. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { runWorkflowFile } from '../../src/host/run-file.ts';
import { encodePng } from '../../src/nodes/pictures/picture.ts';
import { readPngText, withPngText } from '../../src/nodes/pictures/png-text.ts';
import { saveImageNode } from '../../src/nodes/save-image.ts';
import { makeRoots } from '../nodes/support.ts';
import { testNodes } from './support.ts';

const { registry } = testNodes([saveImageNode]);

const apiForm = {
  1: { class_type: 'Paint', inputs: { grey: 0.2 }, _meta: { title: 'Мазок' } },
  2: { class_type: 'SaveImage', inputs: { images: ['1', 0], filename_prefix: 'p' } },
};

/** The same with a seed and its control, a reroute and a node that is not executed. */
const uiForm = {
  version: 0.4,
  nodes: [
    {
      id: 1,
      type: 'Paint',
      title: 'Мазок',
      pos: [3, 4],
      widgets_values: [0.2, 5, 'randomize', 'flat'],
    },
    {
      id: 2,
      type: 'SaveImage',
      inputs: [{ name: 'images', type: 'IMAGE', link: 2 }],
      widgets_values: ['p'],
    },
    { id: 3, type: 'Reroute', inputs: [{ name: '', type: '*', link: 1 }] },
    { id: 4, type: 'Note', widgets_values: ['remember'] },
  ],
  links: [
    [1, 1, 0, 3, 0, 'IMAGE'],
    [2, 3, 0, 2, 0, 'IMAGE'],
  ],
};

const plain = await encodePng({ width: 2, height: 2, rgb: new Uint8Array(12) });

async function fileOf(content: Uint8Array | object, name = 'given'): Promise<string> {
  const file = join((await makeRoots()).data, name);
  await writeFile(file, content instanceof Uint8Array ? content : JSON.stringify(content));
  return file;
}

/** Runs the file into new folders; gives the one picture that it writes, and what it carries. */
async function run(file: string, overrides: readonly string[] = []) {
  const roots = await makeRoots();
  const runs = await runWorkflowFile(file, { registry, roots, overrides });
  const [path] = runs.flatMap(({ files }) => files);
  const picture = join(roots.output, path!);
  const bytes = await readFile(picture);
  const texts = [...readPngText(bytes)].map(([name, text]) => [name, JSON.parse(text) as unknown]);
  return { path, picture, bytes, texts: Object.fromEntries(texts) as Record<string, unknown> };
}

describe('a saved picture', () => {
  test('carries the API form that ran, overrides included, and no other form if there was none', async () => {
    const { texts } = await run(await fileOf(apiForm), ['Мазок.grey=0.7', '2.filename_prefix=q']);
    expect(texts).toEqual({
      prompt: {
        1: { ...apiForm[1], inputs: { grey: 0.7 } },
        2: { ...apiForm[2], inputs: { images: ['1', 0], filename_prefix: 'q' } },
      },
    });
  });

  test("carries the front end's form as it was saved beside what ran", async () => {
    const { texts } = await run(await fileOf(uiForm), ['1.seed=6']);
    expect(texts).toEqual({
      prompt: {
        1: {
          class_type: 'Paint',
          inputs: { grey: 0.2, seed: 6, style: 'flat' },
          _meta: { title: 'Мазок' },
        },
        2: { ...apiForm[2], _meta: { title: 'Save Image' } },
      },
      workflow: uiForm,
    });
  });

  test.each<[string, object]>([
    ['the API form', apiForm],
    ["the front end's form", uiForm],
  ])('of %s runs again to the same bytes, again and again', async (_, form) => {
    const first = await run(await fileOf(form), ['Мазок.grey=0.3']);
    const second = await run(first.picture);
    const third = await run(second.picture);
    expect(second.bytes.equals(first.bytes)).toBe(true);
    expect(third.bytes.equals(first.bytes)).toBe(true);
  });

  test('takes overrides when it is run', async () => {
    const first = await run(await fileOf(apiForm));
    const second = await run(first.picture, ['1.grey=0.9']);
    expect(second.texts['prompt']).toMatchObject({ 1: { inputs: { grey: 0.9 } } });
  });
});

test('the same run twice writes the same bytes', async () => {
  const file = await fileOf(uiForm);
  expect((await run(file)).bytes.equals((await run(file)).bytes)).toBe(true);
});

describe('a picture of another program', () => {
  // The fixture: json.dumps and PngInfo.add_text of Pillow, which ComfyUI's Save Image calls.
  test('by Pillow, as ComfyUI writes it, NaN included, runs', async () => {
    const file = fileURLToPath(new URL('fixtures/by-pillow.png', import.meta.url));
    const { path, texts } = await run(file);
    expect(path).toBe('из ComfyUI_00001_.png');
    expect(texts['prompt']).toMatchObject({
      1: { inputs: { grey: 0.25, seed: 3 }, _meta: { title: 'Мазок NaN' } },
    });
    expect(texts['workflow']).toMatchObject({ last_node_id: 2, nodes: [{ id: 1 }, { id: 2 }] });
  });

  test("with the front end's form alone runs by that", async () => {
    const png = withPngText(plain, { workflow: JSON.stringify(uiForm) });
    expect((await run(await fileOf(png))).texts['workflow']).toEqual(uiForm);
  });

  test('is known by its first bytes, not by its name', async () => {
    const png = withPngText(plain, { prompt: JSON.stringify(apiForm) });
    expect((await run(await fileOf(png, 'picture.json'))).path).toBe('p_00001_.png');
  });

  test.each<[string, Uint8Array, string, RegExp]>([
    ['no text', plain, 'WORKFLOW_INVALID', /given carries no workflow$/],
    ['other texts', withPngText(plain, { parameters: 'x' }), 'WORKFLOW_INVALID', /no workflow$/],
    ['a damaged text', withPngText(plain, { prompt: '{"1":' }), 'FILE_FORMAT', /given.* not JSON/],
    ['a damaged end', plain.subarray(0, -6), 'FILE_FORMAT', /given: this is no sound PNG/],
    ['no nodes', withPngText(plain, { prompt: '[1]' }), 'WORKFLOW_INVALID', /is not a workflow/],
  ])('with %s is refused with the reason', async (_, png, code, message) => {
    const file = await fileOf(png);
    const roots = await makeRoots();
    await expect(runWorkflowFile(file, { registry, roots })).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message),
      details: { file },
    });
  });
});
