/** @file Files of each kind that `inspect` and `verify` know, small and real. */
import { cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Surroundings } from '../../src/host/inspect-workflow.ts';
import { allNodes } from '../../src/nodes/all-nodes.ts';
import { encodePng } from '../../src/nodes/pictures/picture.ts';
import { withPngText } from '../../src/nodes/pictures/png-text.ts';
import { pointSet } from '../../src/trainer/data/points.ts';
import { writeSafetensors } from '../../src/trainer/files/safetensors.ts';
import { saveModel } from '../../src/trainer/run/model-file.ts';
import { float32 } from '../../src/trainer/tensor.ts';
import { makeRoots } from '../nodes/support.ts';
import { TINY_MLP, tinyModel } from '../support/tiny-models.ts';
import { runToEnd, trainTeacher } from '../support/training.ts';

export interface Files extends Surroundings {
  readonly model: string;
  readonly lora: string;
  readonly onnx: string;
  /** Loads `model`. */
  readonly workflow: string;
  /** Carries `workflow`. */
  readonly picture: string;
  readonly plainPicture: string;
  /** Six steps, a checkpoint every two. */
  readonly run: string;
}

const STEPS = 6;

const mlp = fileURLToPath(new URL('../golden/onnx-torch-mlp.onnx', import.meta.url));

/** All of them in fresh folders. */
export async function makeFiles(): Promise<Files> {
  const roots = await makeRoots();
  const at = (name: string) => join(roots.models, name);
  const files = {
    model: at('tiny.safetensors'),
    lora: at('lora.safetensors'),
    onnx: at('net.onnx'),
    workflow: at('workflow.json'),
    picture: at('picture.png'),
    plainPicture: at('plain.png'),
    run: join(roots.output, 'runs/tiny'),
  };
  await saveModel(files.model, tinyModel(TINY_MLP, { tStar: 0.97, cIn: 0.97, steps: 1, shift: 1 }));
  await writeSafetensors(
    files.lora,
    new Map([['a.lora_up.weight', float32(new Float32Array(6), [3, 2])]]),
    { ss_network_dim: '2' },
  );
  await cp(mlp, files.onnx);
  const workflow = JSON.stringify({
    1: { class_type: 'FlowstepLoadModel', inputs: { file: 'tiny.safetensors' } },
    2: { class_type: 'FlowstepOneStepSampler', inputs: { model: ['1', 0], count: 4 } },
    3: { class_type: 'SaveImage', inputs: { images: ['2', 1] } },
  });
  await writeFile(files.workflow, workflow);
  const png = await encodePng({ width: 3, height: 2, rgb: new Uint8Array(18).fill(99) });
  await writeFile(files.plainPicture, png);
  await writeFile(files.picture, withPngText(png, { prompt: workflow }));
  await mkdir(join(roots.output, 'runs'));
  await runToEnd(trainTeacher(job, { run: runOptions(files.run) }));
  return { ...files, registry: allNodes(), roots };
}

const job = {
  dataset: pointSet('8g'),
  network: TINY_MLP,
  steps: STEPS,
  batch: 4,
  learningRate: 1e-3,
  warmup: 0,
  schedule: 'constant',
  emaDecay: 0.9,
  clipNorm: 0,
  clipValue: 0,
  density: { kind: 'uniform', min: 0.02, max: 0.98 },
  seed: 3,
} as const;

function runOptions(folder: string) {
  return {
    folder,
    resume: 'never',
    checkpointEvery: 2,
    keepCheckpoints: 2,
    sampleEvery: 0,
    request: { node: 'FlowstepTrainTeacher', inputs: { steps: STEPS } },
  } as const;
}
