/** Each file is whole as it was made, and each kind of damage is found. */
import { appendFile, cp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { verify } from '../../src/host/verify.ts';
import { sha256OfFile } from '../../src/trainer/files/hash.ts';
import { readSafetensors, writeSafetensors } from '../../src/trainer/files/safetensors.ts';
import { saveModel } from '../../src/trainer/run/model-file.ts';
import { float32 } from '../../src/trainer/tensor.ts';
import { TINY_MLP, tinyModel } from '../support/tiny-models.ts';
import { type Files, makeFiles } from './file-fixtures.ts';

test('files as they were made are whole', async () => {
  const files = await makeFiles();
  const { model, lora, onnx, workflow, picture, plainPicture, run } = files;
  const found = await Promise.all(
    [model, lora, onnx, workflow, picture, plainPicture, run].map((file) => verify(file, files)),
  );
  expect(found.map(({ kind, problems }) => ({ kind, problems }))).toEqual(
    ['model', 'safetensors', 'onnx', 'workflow', 'picture', 'picture', 'run'].map((kind) => ({
      kind,
      problems: [],
    })),
  );
  expect(found.every(({ ok }) => ok)).toBe(true);
  expect(found[0]!.checked).toEqual(expect.arrayContaining(['hash of the weights', 'model card']));
});

test('a workflow may spell the hash of its model in capitals, as Load Flow Model takes it', async () => {
  const files = await makeFiles();
  const hash = (await sha256OfFile(files.model)).toUpperCase();
  const text = await readFile(files.workflow, 'utf8');
  await writeFile(files.workflow, text.replace('"file"', `"sha256":"${hash}","file"`));
  expect((await verify(files.workflow, files)).problems).toEqual([]);
});

/** Flips one bit at a distance from the end. */
async function flip(file: string, fromEnd: number): Promise<void> {
  const bytes = await readFile(file);
  bytes[bytes.length - fromEnd]! ^= 1;
  await writeFile(file, bytes);
}

const lastCheckpoint = (files: Files) => join(files.run, 'checkpoint-000000006.safetensors');
const firstCheckpoint = (files: Files) => join(files.run, 'checkpoint-000000004.safetensors');

type Kind = 'model' | 'lora' | 'onnx' | 'workflow' | 'picture' | 'run';

const DAMAGE: readonly (readonly [
  title: string,
  kind: Kind,
  damage: (files: Files) => Promise<unknown>,
  problem: RegExp,
])[] = [
  ['a flipped bit in the weights', 'model', (f) => flip(f.model, 3), /not those that were written/],
  ['a cut model', 'model', (f) => writeFile(f.model, 'abc'), /not a valid safetensors file/],
  [
    'a card of another file',
    'model',
    (f) =>
      saveModel(f.model.replace('tiny', 'other'), tinyModel(TINY_MLP)).then(() =>
        rename(
          f.model.replace('tiny.safetensors', 'other.md'),
          f.model.replace('.safetensors', '.md'),
        ),
      ),
    /its card tiny.md gives sha256 [0-9a-f]{64}, the file has/,
  ],
  [
    'weights that are not finite',
    'model',
    async (f) => {
      const model = tinyModel(TINY_MLP);
      model.parameters[5] = Number.NaN;
      await saveModel(f.model, model);
    },
    /weights that are not finite/,
  ],
  [
    'a tensor that is not finite',
    'lora',
    (f) => writeSafetensors(f.lora, new Map([['up', float32(Float32Array.of(1, Infinity), [2])]])),
    /tensor up has Infinity at 1/,
  ],
  [
    'a hash that is not that of the tensors',
    'lora',
    async (f) => {
      const { tensors } = await readSafetensors(f.lora);
      await writeSafetensors(f.lora, tensors, { 'modelspec.hash_sha256': '0xabc' });
    },
    /its tensors have sha256 0x[0-9a-f]{64}, it says 0xabc/,
  ],
  [
    'a damaged ONNX file',
    'onnx',
    (f) => writeFile(f.onnx, Uint8Array.of(8, 9, 255)),
    /not an ONNX/,
  ],
  [
    'a workflow with a wrong input',
    'workflow',
    async (f) => {
      const text = await readFile(f.workflow, 'utf8');
      await writeFile(f.workflow, text.replace('"count":4', '"count":0'));
    },
    /node 2, count: must be at least 1/,
  ],
  ['a workflow without its model', 'workflow', (f) => rm(f.model), /no model file tiny/],
  [
    'a workflow that means another model',
    'workflow',
    async (f) => {
      const text = await readFile(f.workflow, 'utf8');
      const hash = 'ab'.repeat(32);
      await writeFile(f.workflow, text.replace('"file"', `"sha256":"${hash}","file"`));
    },
    /another file than the workflow means: its sha256 is [0-9a-f]{64}, not abab/,
  ],
  ['a flipped bit in a picture', 'picture', (f) => flip(f.picture, 20), /wrong checksum/],
  ['a picture whose workflow lacks its model', 'picture', (f) => rm(f.model), /no model file/],
  [
    'statistics whose steps fall',
    'run',
    (f) => appendFile(join(f.run, 'stats.jsonl'), '{"step":6,"metrics":{}}\n'),
    /step 6 in line 7 comes after step 6/,
  ],
  [
    'statistics that are no JSON',
    'run',
    (f) => appendFile(join(f.run, 'stats.jsonl'), 'x\n'),
    /stats.jsonl: line 7 of/,
  ],
  [
    'a record that is none',
    'run',
    (f) => writeFile(join(f.run, 'run.json'), '{}'),
    /not the record/,
  ],
  [
    'a configuration that was edited',
    'run',
    async (f) => {
      const file = join(f.run, 'run.json');
      await writeFile(file, (await readFile(file, 'utf8')).replace('"seed": 3', '"seed": 4'));
    },
    /the identity is not that of the configuration/,
  ],
  ['a cut checkpoint', 'run', (f) => writeFile(lastCheckpoint(f), 'abc'), /checkpoint-000000006/],
  [
    'a checkpoint under the name of another step',
    'run',
    (f) => cp(firstCheckpoint(f), lastCheckpoint(f)),
    /checkpoint-000000006.safetensors: it is of step 4/,
  ],
  [
    'a checkpoint of another run',
    'run',
    async (f) => {
      const { tensors, metadata } = await readSafetensors(lastCheckpoint(f));
      const text = metadata['flowstep.checkpoint']!.replace(/"identity":"../, '"identity":"zz');
      await writeSafetensors(lastCheckpoint(f), tensors, { 'flowstep.checkpoint': text });
    },
    /belongs to another run/,
  ],
  [
    'a damaged model in the run',
    'run',
    async (f) => {
      const file = join(f.run, 'teacher.safetensors');
      await cp(f.model, file);
      await flip(file, 1);
    },
    /teacher.safetensors: .*not those that were written/,
  ],
];

describe('finds', () => {
  test.each(DAMAGE)('%s', async (_, kind, damage, problem) => {
    const files = await makeFiles();
    await damage(files);
    const { ok, problems } = await verify(files[kind], files);
    expect(ok).toBe(false);
    expect(problems.join('\n')).toMatch(problem);
  });

  test('a file that is not there', async () => {
    const files = await makeFiles();
    expect(await verify('nowhere.png', files)).toMatchObject({
      ok: false,
      kind: 'unknown',
      problems: [expect.stringContaining('no such file')],
    });
  });
});
