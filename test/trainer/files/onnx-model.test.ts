/** What is refused when an ONNX network is loaded, and what the error says. */
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FlowstepError } from '../../../src/errors.ts';
import { openOnnxNetwork } from '../../../src/trainer/files/onnx-model.ts';
import { ELEMENT_TYPES } from '../../../src/trainer/graph/onnx-format.ts';
import { writeOnnx } from '../../../src/trainer/run/export-onnx.ts';
import { loadModel } from '../../../src/trainer/run/model-file.ts';
import {
  float,
  type HandModel,
  handModel,
  inputMessage,
  int64,
} from '../../support/onnx-models.ts';
import { tempFolder } from '../../support/temp-folder.ts';
import { TINY_MLP, tinyModel } from '../../support/tiny-models.ts';

const open = (...dims: (number | undefined)[]) => ({
  type: {
    tensorType: {
      elemType: 1,
      shape: { dim: dims.map((d) => (d === undefined ? { dimParam: 'n' } : { dimValue: d })) },
    },
  },
});

/** (x + time) w, with w [2]. */
const MODEL: HandModel = {
  inputs: { x: open(undefined, 2), time: open(undefined, 1) },
  initializers: { w: float([3, 4]) },
  nodes: [
    { opType: 'Add', input: ['x', 'time'], output: ['a'] },
    { opType: 'Mul', input: ['a', 'w'], output: ['y'] },
  ],
};
const DECLARED = { inputs: { x: 'x', time: 'time' }, predicts: 'velocity', time: 'flow' };

async function refusal(model: HandModel, declaration: unknown): Promise<FlowstepError> {
  const file = join(await tempFolder(), 'net.onnx');
  await writeFile(file, handModel(model));
  if (declaration !== undefined) await writeFile(`${file}.json`, JSON.stringify(declaration));
  return refusalOf(file);
}

async function refusalOf(file: string): Promise<FlowstepError> {
  const found: unknown = await openOnnxNetwork(file).then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(found).toBeInstanceOf(FlowstepError);
  return found as FlowstepError;
}

type Refusal = readonly [string, HandModel, unknown, RegExp];

const REFUSED: readonly Refusal[] = [
  ['a declaration that is missing', MODEL, undefined, /does not say what its network predicts/],
  [
    'a declaration with fields that are not known',
    MODEL,
    { ...DECLARED, predict: 'noise' },
    /does not declare a network: .*predict/,
  ],
  [
    'a declared input that is not there',
    MODEL,
    { ...DECLARED, inputs: { x: 'sample', time: 'time' } },
    /no input "sample" for x; .*"x" is not declared.*its inputs are "x" float32\[\?, 2\], "time"/,
  ],
  [
    'an input that is not declared',
    {
      ...MODEL,
      inputs: { ...MODEL.inputs, mask: open(undefined, 2) },
      nodes: [...MODEL.nodes!.slice(0, 1), { opType: 'Mul', input: ['a', 'mask'], output: ['y'] }],
    },
    DECLARED,
    /the input "mask" is not declared, so nothing can be fed to it/,
  ],
  ['an output that is not there', MODEL, { ...DECLARED, output: 'eps' }, /no output "eps" but y/],
  [
    'a batch of one',
    { ...MODEL, inputs: { x: open(1, 2), time: open(1, 1) } },
    DECLARED,
    /the batch of the input "x" is fixed to 1; the batch of the input "time" is fixed to 1/,
  ],
  [
    'one time for a whole batch',
    { ...MODEL, inputs: { x: open(undefined, 2), time: open() } },
    DECLARED,
    /the input "time" is one number for a whole batch/,
  ],
  [
    'a shape that is open',
    { ...MODEL, inputs: { x: open(undefined, undefined), time: open(undefined, 1) } },
    DECLARED,
    /leaves the shape of a sample open: \[\?\]/,
  ],
  [
    'a declared shape that is not that of the file',
    MODEL,
    { ...DECLARED, shape: [3] },
    /samples are declared as \[3\], its input "x" takes \[2\]/,
  ],
  [
    'classes without an input',
    MODEL,
    { ...DECLARED, classes: 4 },
    /classes are declared without an input for labels/,
  ],
  [
    'an output of another shape',
    {
      ...MODEL,
      initializers: { w: float([1, 2, 3, 4, 5, 6], [2, 3]) },
      nodes: [MODEL.nodes![0]!, { opType: 'MatMul', input: ['a', 'w'], output: ['y'] }],
    },
    DECLARED,
    /the output for \[1, 2\] is \[1, 3\]/,
  ],
  [
    'operators that are not known, all of them, and control flow',
    {
      ...MODEL,
      nodes: [
        { opType: 'If', name: 'choice', input: ['x'], output: ['a'] },
        { opType: 'NonZero', input: ['a'], output: ['b'] },
        { opType: 'Loop', name: 'steps', input: ['b'], output: ['c'] },
        { opType: 'Mul', input: ['c', 'w'], output: ['y'] },
      ],
      inputs: { x: open(undefined, 2) },
    },
    { ...DECLARED, inputs: { x: 'x', time: 'x' } },
    /3 operators that are not supported: node "choice" \(If\), node number 2 \(NonZero\), node "steps" \(Loop\)/,
  ],
  [
    'shapes that do not fit each other',
    { ...MODEL, initializers: { w: float([1, 2, 3]) } },
    DECLARED,
    /node number 2 \(Mul\) does not fit its inputs: .*\[3\]/,
  ],
  ['a newer operator set', { ...MODEL, opset: 30 }, DECLARED, /uses operator set 30/],
  [
    'labels of another form',
    {
      ...MODEL,
      inputs: { ...MODEL.inputs, l: open(undefined, 3) },
      initializers: { w: float([3, 4]), m: float([1, 2, 3, 4, 5, 6], [3, 2]) },
      nodes: [
        MODEL.nodes![0]!,
        { opType: 'MatMul', input: ['l', 'm'], output: ['s'] },
        { opType: 'Mul', input: ['a', 's'], output: ['y'] },
      ],
    },
    { ...DECLARED, inputs: { ...DECLARED.inputs, labels: 'l' }, classes: 5 },
    /the input "l" is \[\?, 3\] in the file and is fed \[1, 5\]/,
  ],
];

test.each(REFUSED)('refused: %s', async (_title, model, declaration, message) => {
  const error = await refusal(model, declaration);
  expect(error.message).toMatch(message);
  expect(error.code).toBe('MODEL_INVALID');
  expect(error.hint).toBeTruthy();
});

test('every unknown operator is an issue of its own', async () => {
  const nodes = Array.from({ length: 12 }, (_, i) => ({
    opType: 'NonZero',
    name: `n${i}`,
    input: [i === 0 ? 'x' : `v${i - 1}`],
    output: [i === 11 ? 'y' : `v${i}`],
  }));
  const error = await refusal(
    { inputs: { x: open(undefined, 2) }, nodes },
    {
      ...DECLARED,
      inputs: { x: 'x', time: 'x' },
    },
  );
  expect(error.details.issues).toHaveLength(12);
  expect(error.message).toMatch(/node "n7" \(NonZero\) and 4 more$/);
});

test('what the wanted output does not need may be anything', async () => {
  const file = join(await tempFolder(), 'net.onnx');
  const nodes = [{ opType: 'NonZero', input: ['other'], output: ['z'] }, ...MODEL.nodes!];
  const inputs = { ...MODEL.inputs, other: open(7) };
  await writeFile(file, handModel({ ...MODEL, inputs, nodes, outputs: ['z', 'y'] }));
  await writeFile(`${file}.json`, JSON.stringify({ ...DECLARED, output: 'y' }));
  expect((await openOnnxNetwork(file)).config.shape).toEqual([2]);
});

test('an exported sampler is no velocity', async () => {
  const file = join(await tempFolder(), 'student.onnx');
  await writeOnnx(file, tinyModel(TINY_MLP, { tStar: 0.9, cIn: 1 }));
  const error = await refusalOf(file);
  expect(error.message).toMatch(/holds a sampler, from noise to samples/);
  expect(error.hint).toMatch(/--graph velocity/);
});

test('no ONNX file at all', async () => {
  const file = join(await tempFolder(), 'net.onnx');
  await writeFile(file, 'hello, world');
  expect(await refusalOf(file)).toMatchObject({ code: 'FILE_FORMAT' });
  expect(await refusalOf(`${file}.none`)).toMatchObject({ code: 'FILE_NOT_FOUND' });
});

describe('data in another file', () => {
  async function withData(location: string, more: Record<string, string> = {}) {
    const folder = join(await tempFolder(), 'model');
    await mkdir(folder);
    await writeFile(join(folder, 'weights.bin'), new Uint8Array(Float32Array.of(9, 3, 4).buffer));
    const entries = { location, offset: '4', length: '8', ...more };
    const externalData = Object.entries(entries).map(([key, value]) => ({ key, value }));
    const w = { dims: [2], dataType: ELEMENT_TYPES.float32, dataLocation: 1, externalData };
    const file = join(folder, 'net.onnx');
    await writeFile(file, handModel({ ...MODEL, initializers: { w } }));
    await writeFile(`${file}.json`, JSON.stringify(DECLARED));
    return file;
  }

  test('is read from the folder of the model', async () => {
    const file = await withData('weights.bin');
    expect([...(await loadModel(file)).parameters]).toEqual([3, 4]);
  });

  test.each(['../weights.bin', '/etc/passwd', '', 'a/../../weights.bin'])(
    'is refused at %j',
    async (location) => {
      const error = await refusalOf(await withData(location));
      expect(error.code).toBe('MODEL_INVALID');
      expect(error.message).toMatch(/tensor "w" lies in .* outside of the folder of the model/);
    },
  );

  test('is refused behind a link that leads out of the folder', async () => {
    const file = await withData('link.bin');
    await writeFile(join(file, '../../secret'), new Uint8Array(12));
    await symlink('../secret', join(file, '../link.bin'));
    expect((await refusalOf(file)).message).toMatch(/outside of the folder of the model/);
  });

  test.each([
    ['missing', 'none.bin', {}, /which is not there/],
    ['too short', 'weights.bin', { offset: '8' }, /lies at 8 to 16 of .*, which has 12 bytes/],
    ['of another size', 'weights.bin', { length: '4' }, /has 8 bytes, its place 4/],
    ['before the file', 'weights.bin', { offset: '-4' }, /lies at -4/],
  ])('is refused when it is %s', async (_title, location, more, message) => {
    const error = await refusalOf(await withData(location, more as Record<string, string>));
    expect(error.code).toBe('MODEL_INVALID');
    expect(error.message).toMatch(message);
  });
});

test('inputs that old files list for their initialisers are no inputs', async () => {
  const file = join(await tempFolder(), 'net.onnx');
  const inputs = { ...MODEL.inputs, w: inputMessage('w', [2]) };
  await writeFile(
    file,
    handModel({ ...MODEL, inputs, initializers: { w: float([3, 4]), unused: int64([1]) } }),
  );
  await writeFile(`${file}.json`, JSON.stringify(DECLARED));
  expect((await openOnnxNetwork(file)).weights.map(({ name }) => name)).toEqual(['w']);
});

test('a network with changed bytes is read or refused, but nothing else happens', async () => {
  const file = join(await tempFolder(), 'net.onnx');
  await writeOnnx(file, tinyModel({ ...TINY_MLP, width: 3, layers: 1 }));
  const whole = await readFile(file);
  const change = fc.tuple(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 }));
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), async (changes) => {
      const bytes = Buffer.from(whole);
      for (const [at, by] of changes) bytes[at]! ^= by;
      await writeFile(file, bytes);
      const error: unknown = await loadModel(file).then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      if (error === undefined) return;
      expect(error).toBeInstanceOf(FlowstepError);
      expect((error as FlowstepError).kind).not.toBe('bug');
    }),
    { seed: 7, numRuns: 300 },
  );
});
