/** @file A classifier of the captions, in whose last layer but one pictures are compared. */
import { existsSync } from 'node:fs';
import { gradients } from '../../src/trainer/autodiff/gradients.ts';
import { readSafetensors, writeSafetensors } from '../../src/trainer/files/safetensors.ts';
import { Graph } from '../../src/trainer/graph/graph.ts';
import {
  bindParameters,
  initialise,
  type ParameterList,
  ParameterScope,
  views,
} from '../../src/trainer/nn/parameters.ts';
import { USUAL_ADAM } from '../../src/trainer/optim/adam.ts';
import { learningRate } from '../../src/trainer/optim/schedule.ts';
import { fillNormal, fillUniform } from '../../src/trainer/random/philox.ts';
import { Learner } from '../../src/trainer/run/learner.ts';
import { Pacer } from '../../src/trainer/run/pacer.ts';
import { Program } from '../../src/trainer/runtime/program.ts';
import { float32, sizeOf } from '../../src/trainer/tensor.ts';
import { classifier, crossEntropy, FEATURES } from '../fashion-classifier.ts';
import { CAPTIONS } from './captions.ts';
import { type EmojiPictures, emojiDataset, SHAPE, SIDE } from './pictures.ts';

const CLASSES = CAPTIONS.length;
const SIZE = sizeOf(SHAPE);
const BATCH = 50;
const STEPS = 1500;
const RATE = 2e-3;
const SEED = 0;
/** Pictures are moved by up to this many pixels a side, on white. */
const SHIFT = 2;
/** Largest standard deviation of the noise that is added, so that faint grain does not decide. */
const NOISE = 0.15;
/** Streams that no training uses. */
const [SHIFT_STREAM, NOISE_STREAM] = [903, 904];

/** The weights in `path`, trained on the pictures when the file is not there. */
export async function trainedClassifier(
  path: string,
  pictures: EmojiPictures,
): Promise<Float32Array> {
  if (!existsSync(path)) {
    const data = await train(pictures);
    await writeSafetensors(path, new Map([['weights', float32(data, [data.length])]]));
  }
  return (await readSafetensors(path)).tensors.get('weights')!.data as Float32Array;
}

/** Features [count, FEATURES] of pictures [count, 3, SIDE, SIDE] in [-1, 1], and the classes that they are taken for. */
export async function classify(weights: Float32Array, pictures: Float32Array) {
  const graph = new Graph();
  const scope = new ParameterScope(graph, 'classifier');
  const seen = classifier(scope, graph.input('pictures', [BATCH, ...SHAPE]), CLASSES);
  graph.output('features', seen.features);
  graph.output('logits', seen.logits);
  const program = new Program(graph, { name: 'classifier' });
  const input = new Float32Array(BATCH * SIZE);
  const part = new Float32Array(BATCH * FEATURES);
  const logits = new Float32Array(BATCH * CLASSES);
  program.bindInput('pictures', float32(input, [BATCH, ...SHAPE]));
  program.bindOutput('features', float32(part, [BATCH, FEATURES]));
  program.bindOutput('logits', float32(logits, [BATCH, CLASSES]));
  bindParameters(program, graph, 'classifier', scope.list(), weights);
  const count = pictures.length / SIZE;
  const features = new Float32Array(count * FEATURES);
  const classes = new Int32Array(count);
  for (let from = 0; from < count; from += BATCH) {
    const rows = Math.min(BATCH, count - from);
    input.set(pictures.subarray(from * SIZE, (from + rows) * SIZE));
    await program.run();
    features.set(part.subarray(0, rows * FEATURES), from * FEATURES);
    for (let i = 0; i < rows; i++) {
      const row = logits.subarray(i * CLASSES, (i + 1) * CLASSES);
      classes[from + i] = row.indexOf(Math.max(...row));
    }
  }
  program.dispose();
  return { features, classes };
}

async function train(pictures: EmojiPictures): Promise<Float32Array> {
  const dataset = emojiDataset(pictures);
  const graph = new Graph();
  const scope = new ParameterScope(graph, 'classifier');
  const seen = classifier(scope, graph.input('pictures', [BATCH, ...SHAPE]), CLASSES);
  const loss = crossEntropy(seen.logits, graph.input('shares', [BATCH, CLASSES]));
  graph.output('loss', loss);
  const list: ParameterList = scope.list();
  for (const [i, gradient] of gradients(loss, scope.values(), []).entries()) {
    graph.output(`gradient/${list.specs[i]!.name}`, gradient);
  }
  const learner = new Learner('classifier', list, initialise(list, SEED), {
    ...USUAL_ADAM,
    clipNorm: 0,
    clipValue: 0,
    ema: true,
    emaDecay: 0.995,
  });
  const program = new Program(graph, { name: 'classifier gradient' });
  const input = new Float32Array(BATCH * SIZE);
  const shares = new Float32Array(BATCH * CLASSES);
  const value = new Float32Array(1);
  program.bindInput('pictures', float32(input, [BATCH, ...SHAPE]));
  program.bindInput('shares', float32(shares, [BATCH, CLASSES]));
  program.bindOutput('loss', float32(value, []));
  bindParameters(program, graph, 'classifier', list, learner.weights);
  for (const [name, view] of views(list, learner.gradient)) {
    program.bindOutput(`gradient/${name}`, view);
  }
  const pacer = new Pacer();
  for (let step = 0; step < STEPS; step++) {
    const { x, labels } = dataset.batch(SEED, step, BATCH);
    shares.fill(0);
    for (const [i, label] of labels!.entries()) shares[i * CLASSES + label] = 1;
    augment(x, input, step);
    await pacer.run(program);
    await learner.update(value[0]!, learningRate(RATE, 'cosine', 100, step, STEPS), pacer);
  }
  program.dispose();
  return learner.averaged;
}

/** Moved and noisy pictures. */
function augment(from: Float32Array, to: Float32Array, step: number): void {
  const draws = new Float32Array(3 * BATCH);
  fillUniform(draws, SEED, SHIFT_STREAM, step);
  fillNormal(to, SEED, NOISE_STREAM, step);
  const moved = (draw: number) => Math.floor(draw * (2 * SHIFT + 1)) - SHIFT;
  for (let i = 0; i < to.length; i++) {
    const picture = Math.floor(i / SIZE);
    const x = (i % SIDE) - moved(draws[3 * picture]!);
    const y = (Math.floor(i / SIDE) % SIDE) - moved(draws[3 * picture + 1]!);
    const isInside = x >= 0 && x < SIDE && y >= 0 && y < SIDE;
    const plane = i - (i % SIDE ** 2);
    const pixel = isInside ? from[plane + y * SIDE + x]! : 1;
    to[i] = pixel + NOISE * draws[3 * picture + 2]! * to[i]!;
  }
}
