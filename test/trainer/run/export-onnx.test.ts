/** Exported models, run by ONNX Runtime's own binding, which knows nothing of Flowstep. */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as ort from 'onnxruntime-node';
import { describe, expect, test } from 'vitest';
import { samplesToImageTensor } from '../../../src/nodes/pictures/picture.ts';
import { isTaken } from '../../../src/trainer/files/atomic-write.ts';
import { parseModel } from '../../../src/trainer/graph/onnx-tensors.ts';
import { classCount, sampleShape, textWidths } from '../../../src/trainer/nn/config.ts';
import { writeOnnx } from '../../../src/trainer/run/export-onnx.ts';
import { writeTriton } from '../../../src/trainer/run/export-triton.ts';
import type { FlowModel } from '../../../src/trainer/run/model.ts';
import { sample } from '../../../src/trainer/run/sample.ts';
import { float32, sizeOf, type Tensor } from '../../../src/trainer/tensor.ts';
import { normals } from '../../support/small-mmdit.ts';
import { SMALL_NETWORKS, smallModel } from '../../support/small-networks.ts';
import { tempFolder } from '../../support/temp-folder.ts';
import { noiseOf, TINY_DIT, TINY_MLP, tinyModel } from '../../support/tiny-models.ts';

const TOKENS = 5;
const STUDENT = { tStar: 0.9, cIn: 0.8 };

interface Given {
  readonly noise: Tensor<'float32'>;
  readonly labels?: Int32Array;
  readonly text?: { readonly context: Tensor<'float32'>; readonly pooled: Tensor<'float32'> };
}

/** Noise and a condition for `count` samples of a model. */
function givenFor({ info: { network } }: FlowModel, count: number): Given {
  const noise = noiseOf([count, ...sampleShape(network)]);
  const text = textWidths(network);
  if (text) {
    const row = (shape: number[], seed: number) => float32(normals(sizeOf(shape), seed), shape);
    return {
      noise,
      text: {
        context: row([count, TOKENS, text.contextWidth], 7),
        pooled: row([count, text.pooledWidth], 8),
      },
    };
  }
  const classes = classCount(network);
  if (classes === 0) return { noise };
  return { noise, labels: Int32Array.from({ length: count }, (_, i) => i % classes) };
}

/** The same as ONNX Runtime's binding takes it. */
function feedsOf({ noise, labels, text }: Given): Record<string, ort.Tensor> {
  const tensor = ({ data, shape }: Tensor<'float32'>) => new ort.Tensor('float32', data, shape);
  return {
    noise: tensor(noise),
    ...(labels && {
      labels: new ort.Tensor('int64', BigInt64Array.from(labels, BigInt), [labels.length]),
    }),
    ...(text && { context: tensor(text.context), pooled: tensor(text.pooled) }),
  };
}

async function runFile(file: string, feeds: Record<string, ort.Tensor>) {
  const session = await ort.InferenceSession.create(file, { logSeverityLevel: 3 });
  const found = await session.run(feeds);
  await session.release();
  return found;
}

function greatestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length);
  return Math.max(...Array.from(a, (x, i) => Math.abs(x - b[i]!)));
}

describe.each(Object.entries(SMALL_NETWORKS))('a one-step student that is a %s', (_, network) => {
  const model = smallModel(network, STUDENT);

  test('gives the samples of the node, alone and in batches', async () => {
    const file = join(await tempFolder(), 'student.onnx');
    await writeOnnx(file, model, { tokens: TOKENS });
    for (const count of [1, 3, 8]) {
      const given = givenFor(model, count);
      const wanted = await sample(model, { solver: 'one-step', ...given });
      const { samples } = await runFile(file, feedsOf(given));
      expect(samples!.dims).toEqual(wanted.shape);
      expect(greatestDifference(samples!.data as Float32Array, wanted.data)).toBeLessThan(1e-5);
    }
  });
});

test.each([
  ['euler', 3],
  ['fresh', 3],
] as const)('a student of several steps by %s', async (transition, steps) => {
  const model = tinyModel(TINY_DIT, { ...STUDENT, steps, shift: 3, transition });
  const file = join(await tempFolder(), 'student.onnx');
  const { inputs } = await writeOnnx(file, model);
  const given = givenFor(model, 3);
  const freshNoise = [1, 2].map((k) => noiseOf(given.noise.shape, 20 + k));
  const feeds = feedsOf(given);
  if (transition === 'fresh') {
    const size = sizeOf(given.noise.shape.slice(1));
    const rows = [0, 1, 2].flatMap((i) =>
      freshNoise.map(({ data }) => [...data.subarray(i * size, (i + 1) * size)]),
    );
    const shape = [3, 2, ...given.noise.shape.slice(1)];
    feeds['fresh_noise'] = new ort.Tensor('float32', Float32Array.from(rows.flat()), shape);
  }
  expect(inputs.map(({ name }) => name).sort()).toEqual(Object.keys(feeds).sort());
  const wanted = await sample(model, { solver: 'one-step', ...given, freshNoise });
  const { samples } = await runFile(file, feeds);
  expect(greatestDifference(samples!.data as Float32Array, wanted.data)).toBeLessThan(1e-5);
});

test('pictures come out as ComfyUI has them too', async () => {
  const model = tinyModel(TINY_DIT, STUDENT);
  const file = join(await tempFolder(), 'student.onnx');
  await writeOnnx(file, model);
  const given = givenFor(model, 3);
  const wanted = samplesToImageTensor(await sample(model, { solver: 'one-step', ...given }));
  const { images } = await runFile(file, feedsOf(given));
  expect(images!.dims).toEqual(wanted.shape);
  expect(greatestDifference(images!.data as Float32Array, wanted.data)).toBeLessThan(1e-5);
});

test('only operators of ONNX itself are used, and the metadata say what the model is', async () => {
  const file = join(await tempFolder(), 'student.onnx');
  const model = tinyModel(SMALL_NETWORKS['MM-DiT'], STUDENT);
  await writeOnnx(file, model, { tokens: TOKENS });
  const { graph, metadataProps, opsetImport } = parseModel(await readFile(file), file);
  expect(new Set(graph!.node.map(({ domain }) => domain))).toEqual(new Set(['']));
  expect(opsetImport).toHaveLength(1);
  const metadata = new Map(metadataProps.map(({ key, value }) => [key, value]));
  expect(JSON.parse(metadata.get('flowstep.model')!)).toEqual(model.info);
  expect(metadata.get('modelspec.title')).toBe('One-step student on none');
});

test('weights in float16 take half the room and give nearly the same', async () => {
  const folder = await tempFolder();
  const network = { ...TINY_MLP, width: 64 };
  const model = tinyModel(network, STUDENT);
  const [whole, half] = [join(folder, 'whole.onnx'), join(folder, 'half.onnx')];
  const { bytes } = await writeOnnx(whole, model);
  const { bytes: halfBytes } = await writeOnnx(half, model, { dtype: 'float16' });
  expect(bytes - halfBytes).toBeGreaterThan(model.parameters.length * 1.9);
  const feeds = feedsOf(givenFor(model, 3));
  const [a, b] = [await runFile(whole, feeds), await runFile(half, feeds)];
  const difference = greatestDifference(
    a['samples']!.data as Float32Array,
    b['samples']!.data as Float32Array,
  );
  expect(difference).toBeGreaterThan(0);
  expect(difference).toBeLessThan(0.02);
});

test('weights that are too large for one file lie beside it', async () => {
  const file = join(await tempFolder(), 'student.onnx');
  const model = tinyModel({ ...TINY_MLP, width: 64 }, STUDENT);
  const { files, bytes } = await writeOnnx(file, model, { inlineBytes: 100 });
  expect(files).toEqual([file, `${file}.data`]);
  const sizes = await Promise.all(files.map(async (name) => (await readFile(name)).length));
  expect(sizes[0]! + sizes[1]!).toBe(bytes);
  expect(sizes[1]).toBeGreaterThan(64 * 64 * 4);
  const given = givenFor(model, 3);
  const wanted = await sample(model, { solver: 'one-step', ...given });
  const { samples } = await runFile(file, feedsOf(given));
  expect(greatestDifference(samples!.data as Float32Array, wanted.data)).toBeLessThan(1e-5);
});

test.each([
  { taken: '.data', left: ['s.onnx.data'] },
  { taken: '', left: ['s.onnx'] },
])(
  'a model over nothing: where its file$taken is there, it stays and nothing else is written',
  async ({ taken, left }) => {
    const folder = await tempFolder();
    const file = join(folder, 's.onnx');
    await writeFile(file + taken, 'theirs');
    const options = { inlineBytes: 100, replace: false };
    const error: unknown = await writeOnnx(file, tinyModel(TINY_MLP), options).catch((e) => e);
    expect(isTaken(error)).toBe(true);
    expect(await readdir(folder)).toEqual(left);
    expect(await readFile(file + taken, 'utf8')).toBe('theirs');
  },
);

test('a teacher has no sampler', async () => {
  const file = join(await tempFolder(), 'teacher.onnx');
  await expect(writeOnnx(file, tinyModel(TINY_MLP), { graph: 'sampler' })).rejects.toMatchObject({
    code: 'VALUE_OUT_OF_RANGE',
    message: 'a teacher has no sampler of its own',
  });
});

test('a Triton repository: the model in a version folder and its configuration', async () => {
  const folder = join(await tempFolder(), 'digits');
  const model = tinyModel(TINY_DIT, STUDENT);
  const { files } = await writeTriton(folder, model, { maxBatch: 16 });
  expect(files).toEqual([join(folder, 'config.pbtxt'), join(folder, '1', 'model.onnx')]);
  expect(await readFile(files[0]!, 'utf8')).toBe(`name: "digits"
backend: "onnxruntime"
max_batch_size: 16
input [
  {
    name: "noise"
    data_type: TYPE_FP32
    dims: [ 1, 4, 4 ]
  },
  {
    name: "labels"
    data_type: TYPE_INT64
    dims: [ 1 ]
    reshape { shape: [ ] }
  }
]
output [
  {
    name: "samples"
    data_type: TYPE_FP32
    dims: [ 1, 4, 4 ]
  },
  {
    name: "images"
    data_type: TYPE_FP32
    dims: [ 4, 4, 3 ]
  }
]
dynamic_batching {
  max_queue_delay_microseconds: 1000
}
`);
  const { samples } = await runFile(files[1]!, feedsOf(givenFor(model, 2)));
  expect(samples!.dims).toEqual([2, 1, 4, 4]);
});
