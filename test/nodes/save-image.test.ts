import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { expect, test } from 'vitest';
import { readPngText } from '../../src/nodes/pictures/png-text.ts';
import { saveImageNode } from '../../src/nodes/save-image.ts';
import { float32 } from '../../src/trainer/tensor.ts';
import { makeContext, makeRoots } from './support.ts';

/** A dark picture and a light one, 3 wide and 2 high. */
const images = float32(
  Float32Array.from({ length: 36 }, (_, i) => (i < 18 ? 0.2 : 1)),
  [2, 2, 3, 3],
);

test('pictures are written as they are, numbered on, and given to the next node', async () => {
  const context = makeContext(await makeRoots());
  const run = () => saveImageNode.run({ images, filename_prefix: 'a/b' }, context);
  const { files, outputs } = await run();
  expect(files).toEqual(['a/b_00001_.png', 'a/b_00002_.png']);
  expect((await run()).files).toEqual(['a/b_00003_.png', 'a/b_00004_.png']);
  expect(outputs['images']).toBe(images);
  const shades = files!.map(async (file) => {
    const { data, info } = await sharp(join(context.roots.output, file))
      .raw()
      .toBuffer({ resolveWithObject: true });
    return [info.width, info.height, info.channels, ...new Set(data)];
  });
  expect(await Promise.all(shades)).toEqual([
    [3, 2, 3, 51],
    [3, 2, 3, 255],
  ]);
});

test('each picture carries the workflow in ASCII, and the texts are what ran', async () => {
  const prompt = { 1: { class_type: 'Paint', inputs: { name: 'шаг "一" 😀\u007f' } } };
  const workflow = { nodes: [{ id: 1, title: 'é' }] };
  const context = { ...makeContext(await makeRoots()), workflow: { prompt, workflow } };
  const { files } = await saveImageNode.run({ images }, context);
  for (const file of files!) {
    const png = await readFile(join(context.roots.output, file));
    const texts = readPngText(png);
    expect([...texts.keys()]).toEqual(['prompt', 'workflow']);
    expect(JSON.parse(texts.get('prompt')!)).toEqual(prompt);
    expect(JSON.parse(texts.get('workflow')!)).toEqual(workflow);
    expect(texts.get('workflow')).toBe('{"nodes":[{"id":1,"title":"\\u00e9"}]}');
    expect(texts.get('prompt')).toMatch(/^[ -~]+$/);
    expect(png.toString('latin1').match(/tEXt(prompt|workflow)\0/g)).toHaveLength(2);
  }
});

test('a node that runs by itself writes pictures without a workflow', async () => {
  const context = makeContext(await makeRoots());
  const { files } = await saveImageNode.run({ images }, context);
  expect(readPngText(await readFile(join(context.roots.output, files![0]!))).size).toBe(0);
});

test('sizes and numbers are filled into the names', async () => {
  const context = makeContext(await makeRoots());
  const inputs = { images, filename_prefix: '%width%x%height%/%batch_num%' };
  const names = ['3x2/0_00001_.png', '3x2/1_00001_.png'];
  expect((await saveImageNode.run(inputs, context)).files).toEqual(names);
});

test('a name filled in does not lead out of the output folder', async () => {
  const context = makeContext(await makeRoots());
  const inputs = { images, filename_prefix: '%date:../..%/../../../%width%' };
  await expect(saveImageNode.run(inputs, context)).rejects.toMatchObject({
    code: 'VALUE_OUT_OF_RANGE',
  });
});

test('those who save at the same time each write all of their pictures, and name their own', async () => {
  const context = makeContext(await makeRoots());
  const shades = [0.2, 0.4, 0.6, 0.8];
  const saved = await Promise.all(
    shades.map(async (shade) => {
      const five = float32(new Float32Array(5 * 2 * 3 * 3).fill(shade), [5, 2, 3, 3]);
      const inputs = { images: five, filename_prefix: 'p' };
      const { files } = await saveImageNode.run(inputs, context);
      return { shade, files: files! };
    }),
  );
  expect(new Set(saved.flatMap(({ files }) => files)).size).toBe(20);
  expect(await readdir(context.roots.output)).toHaveLength(20);
  for (const { shade, files } of saved) {
    for (const file of files) {
      const { data } = await sharp(join(context.roots.output, file))
        .raw()
        .toBuffer({ resolveWithObject: true });
      expect([...new Set(data)]).toEqual([Math.round(shade * 255)]);
    }
  }
});
