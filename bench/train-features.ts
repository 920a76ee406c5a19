/**
 * @file `npm run train:features`: trains the classifier in whose space Fashion-MNIST's samples are scored.
 *
 *     npm run train:features -- [--epochs 8] [--out models/fashion/features.onnx] [--threads N]
 *
 * Another classifier gives other scores: after retraining raise the number in its name, and score all models anew.
 */
import { parseArgs } from 'node:util';
import { fashionMnist, findFashionMnist } from '../src/trainer/data/fashion-mnist.ts';
import { readIdx } from '../src/trainer/data/idx.ts';
import { atomicWrite } from '../src/trainer/files/atomic-write.ts';
import { FeatureExtractor } from '../src/trainer/metrics/extractor.ts';
import { bindParameters, initialise, views } from '../src/trainer/nn/parameters.ts';
import { USUAL_ADAM } from '../src/trainer/optim/adam.ts';
import { learningRate } from '../src/trainer/optim/schedule.ts';
import { fillUniform } from '../src/trainer/random/philox.ts';
import { Learner } from '../src/trainer/run/learner.ts';
import { Pacer } from '../src/trainer/run/pacer.ts';
import { engine } from '../src/trainer/runtime/engine.ts';
import { Program } from '../src/trainer/runtime/program.ts';
import { float32 } from '../src/trainer/tensor.ts';
import {
  CLASSES,
  classifierFile,
  classifierLoss,
  classifierParameters,
} from './fashion-classifier.ts';
import { mergeResults } from './results.ts';

const { values } = parseArgs({
  options: {
    epochs: { type: 'string', default: '8' },
    out: { type: 'string', default: 'models/fashion/features.onnx' },
    threads: { type: 'string' },
    save: { type: 'boolean', default: false },
  },
});
const BATCH = 100;
const RATE = 2e-3;
const SEED = 0;
const SIDE = 28;
/** Pictures are moved by up to this many pixels a side. */
const SHIFT = 1;
/** Streams that no training uses. */
const SHIFT_STREAM = 901;

if (values.threads) engine({ threads: Number(values.threads) });
const started = performance.now();
const weights = await train(Number(values.epochs));
const seconds = Math.round((performance.now() - started) / 1000);
const list = classifierParameters();
const file = classifierFile(list, weights);
await atomicWrite(values.out, [file]);
const accuracy = await accuracyOf(values.out);
console.log(
  `${values.out}: ${file.length} bytes, accuracy on the test split ${accuracy}, ${seconds} s`,
);
const entry = { accuracy, epochs: Number(values.epochs), seconds, threads: engine().threads };
if (values.save) await mergeResults('fashion', 'classifier', entry);

async function train(epochs: number): Promise<Float32Array> {
  const dataset = await fashionMnist('train', undefined, true);
  const list = classifierParameters();
  const learner = new Learner('classifier', list, initialise(list, SEED), {
    ...USUAL_ADAM,
    clipNorm: 0,
    clipValue: 0,
    ema: true,
    emaDecay: 0.998,
  });
  const graph = classifierLoss(BATCH, list);
  const program = new Program(graph, { name: 'classifier gradient' });
  const pictures = new Float32Array(BATCH * SIDE ** 2);
  const shares = new Float32Array(BATCH * CLASSES);
  const loss = new Float32Array(1);
  program.bindInput('pictures', float32(pictures, [BATCH, 1, SIDE, SIDE]));
  program.bindInput('shares', float32(shares, [BATCH, CLASSES]));
  program.bindOutput('loss', float32(loss, []));
  bindParameters(program, graph, 'classifier', list, learner.weights);
  for (const [name, view] of views(list, learner.gradient)) {
    program.bindOutput(`gradient/${name}`, view);
  }
  const steps = Math.round((epochs * 60_000) / BATCH);
  const pacer = new Pacer();
  const moves = new Float32Array(2 * BATCH);
  let average = 0;
  for (let step = 0; step < steps; step++) {
    const { x, labels } = dataset.batch(SEED, step, BATCH);
    fillUniform(moves, SEED, SHIFT_STREAM, step);
    shares.fill(0);
    for (let i = 0; i < BATCH; i++) {
      const [right, down] = [shiftOf(moves[2 * i]!), shiftOf(moves[2 * i + 1]!)];
      const area = SIDE ** 2;
      const to = pictures.subarray(i * area, (i + 1) * area);
      shifted(x.subarray(i * area, (i + 1) * area), to, right, down);
      shares[i * CLASSES + labels![i]!] = 1;
    }
    await pacer.run(program);
    await learner.update(loss[0]!, learningRate(RATE, 'cosine', 200, step, steps), pacer);
    average += (loss[0]! - average) / Math.min(step + 1, 100);
    if ((step + 1) % 300 === 0)
      console.log(`step ${step + 1} of ${steps}: loss ${average.toFixed(4)}`);
  }
  program.dispose();
  return learner.averaged;
}

/** -SHIFT to SHIFT for a number in [0, 1). */
function shiftOf(draw: number): number {
  return Math.floor(draw * (2 * SHIFT + 1)) - SHIFT;
}

/** Moves a picture; black comes in from the edges. */
function shifted(from: Float32Array, to: Float32Array, right: number, down: number): void {
  for (let y = 0; y < SIDE; y++) {
    for (let x = 0; x < SIDE; x++) {
      const [u, v] = [x - right, y - down];
      const inside = u >= 0 && u < SIDE && v >= 0 && v < SIDE;
      to[y * SIDE + x] = inside ? from[v * SIDE + u]! : -1;
    }
  }
}

/** Share of the test pictures that the file names rightly. */
async function accuracyOf(path: string): Promise<number> {
  const paths = await findFashionMnist('test');
  const images = await readIdx(paths.images);
  const labels = await readIdx(paths.labels);
  const count = images.shape[0]!;
  using extractor = await FeatureExtractor.open(path);
  const { logits } = await extractor.extract({ shape: [count, 1, SIDE, SIDE], data: images.data });
  let right = 0;
  for (let i = 0; i < count; i++) {
    const row = logits!.subarray(i * CLASSES, (i + 1) * CLASSES);
    if (row.indexOf(row.reduce((a, b) => Math.max(a, b))) === labels.data[i]) right++;
  }
  return right / count;
}
