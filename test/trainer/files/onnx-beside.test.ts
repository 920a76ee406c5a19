/** What lies beside an .onnx file is part of what it is. */
import { copyFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { sha256, sha256OfFile } from '../../../src/trainer/files/hash.ts';
import { besideHash, modelSha256 } from '../../../src/trainer/files/onnx-beside.ts';
import { ELEMENT_TYPES } from '../../../src/trainer/graph/onnx-format.ts';
import { float, handModel } from '../../support/onnx-models.ts';
import { tempFolder } from '../../support/temp-folder.ts';

/** net.onnx with tensors of a number each at these places, or with its weights in it for none. */
async function network(...locations: string[]): Promise<string> {
  const file = join(await tempFolder(), 'net.onnx');
  const tensors = locations.map((location, i) => {
    const externalData = [{ key: 'location', value: location }];
    const tensor = { dims: [1], dataType: ELEMENT_TYPES.float32, dataLocation: 1, externalData };
    return [`w${i}`, tensor];
  });
  const initializers = locations.length > 0 ? Object.fromEntries(tensors) : { w: float([1]) };
  await writeFile(file, handModel({ initializers }));
  return file;
}

const beside = (file: string, name: string, text: string) =>
  writeFile(join(file, '..', name), text);

test('with nothing beside it a file is what its bytes are', async () => {
  const file = await network();
  expect(await besideHash(file)).toBeUndefined();
  expect(await modelSha256(file)).toBe(await sha256OfFile(file));
});

test('a declaration alone counts by its text, and not for the sha256 of the model', async () => {
  const file = await network();
  await beside(file, 'net.onnx.json', '{}');
  expect(await besideHash(file)).toBe(sha256('{}'));
  expect(await modelSha256(file)).toBe(await sha256OfFile(file));
});

describe('every other file with tensors counts', () => {
  test.each(['a.data', 'b.data', 'net.onnx.json'])('as %s', async (name) => {
    const file = await network('a.data', 'b.data', 'a.data');
    for (const each of ['a.data', 'b.data', 'net.onnx.json']) await beside(file, each, 'old!');
    const before = await besideHash(file);
    expect(await besideHash(file)).toBe(before);
    await beside(file, name, 'new!');
    expect(await besideHash(file)).not.toBe(before);
  });

  test('and one that is not there yet', async () => {
    const file = await network('a.data');
    const before = await besideHash(file);
    expect(before).toMatch(/^[0-9a-f]{64}$/);
    await beside(file, 'a.data', 'here');
    expect(await besideHash(file)).not.toBe(before);
  });
});

test('the sha256 of a model covers its weights in other files', async () => {
  const file = await network('a.data');
  await beside(file, 'a.data', 'old!');
  const before = await modelSha256(file);
  expect(before).not.toBe(await sha256OfFile(file));
  await beside(file, 'a.data', 'new!');
  expect(await modelSha256(file)).not.toBe(before);
});

test('a file that is changed to name others is read again', async () => {
  const file = await network();
  expect(await besideHash(file)).toBeUndefined();
  const other = await network('a.data');
  await copyFile(other, file);
  expect(await besideHash(file)).toMatch(/^[0-9a-f]{64}$/);
});

test('files outside of the folder are never read', async () => {
  const outside = join(await tempFolder(), 'secret');
  await writeFile(outside, 'old!');
  const file = await network(`../${outside.split('/').slice(-2).join('/')}`);
  const before = await besideHash(file);
  await writeFile(outside, 'new!');
  expect(await besideHash(file)).toBe(before);
});

test('what is no ONNX model has no tensors, and no other file has anything beside it', async () => {
  const file = await network();
  await writeFile(file, 'no model');
  expect(await besideHash(file)).toBeUndefined();
  const other = file.replace('.onnx', '.safetensors');
  await writeFile(other, 'x');
  await writeFile(`${other}.json`, '{}');
  expect(await besideHash(other)).toBeUndefined();
});
