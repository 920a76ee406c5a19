/** @file A training run of a node: its folder below runs/, sample pictures, progress, and the models it leaves. */
import { mkdir, realpath } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { FlowstepError } from '../errors.ts';
import { atomicWrite } from '../trainer/files/atomic-write.ts';
import type { BestModel, Evaluation } from '../trainer/run/evaluation.ts';
import { EVALUATED } from '../trainer/run/evaluation-prefix.ts';
import type { FlowModel } from '../trainer/run/model.ts';
import { saveModel } from '../trainer/run/model-file.ts';
import type { Outcome } from '../trainer/run/outcome.ts';
import { identityOf, type RunRequest } from '../trainer/run/run-file.ts';
import { STATS_FILE } from '../trainer/run/run-folder.ts';
import { type TrainResult, train } from '../trainer/run/train.ts';
import type { Trainer } from '../trainer/run/trainer.ts';
import type { Tensor } from '../trainer/tensor.ts';
import type { RunInputs } from './common-inputs.ts';
import { lookOf, pictureOfSamples } from './draw-samples.ts';
import type { FlowReportHandle } from './handles.ts';
import { type NodeContext, tellDevice } from './node-context.ts';
import { encodePng } from './pictures/picture.ts';
import { type FileRef, foldersOf, isInside, nameFile } from './root-files.ts';

export interface TrainingRun {
  readonly name: string;
  /** Absolute. */
  readonly folder: string;
  /** Relative to the output folder, with forward slashes. */
  readonly path: string;
}

/** A run's name when none is given begins with this. */
type Kind = 'teacher' | 'student';

/** Characters of the identity in such a name; enough to tell a user's runs apart. */
const NAME_HASH = 8;

/** Trains to the end, or until it is stopped; what happens is told to the context and kept in the run's folder. */
export async function runTraining<Models extends Readonly<Record<string, FlowModel>>>(
  kind: Kind,
  trainer: Trainer<Models>,
  inputs: RunInputs & { readonly steps: number },
  nodeId: string,
  context: NodeContext,
  evaluation?: Evaluation,
): Promise<TrainResult<Models> & { readonly run: TrainingRun }> {
  const hash = identityOf(trainer.configuration).slice(0, NAME_HASH);
  const name = inputs.run_name || `${kind}-${hash}`;
  const run = { name, folder: join(context.roots.output, 'runs', name), path: `runs/${name}` };
  await requireInside(context.roots.output, run.folder);
  tellDevice(context);
  const events = train(
    trainer,
    inputs.steps,
    {
      folder: run.folder,
      resume: inputs.resume,
      checkpointEvery: inputs.checkpoint_every,
      keepCheckpoints: inputs.keep_checkpoints,
      sampleEvery: inputs.sample_every,
      evaluation,
      // All inputs of training nodes are values or handles, which are JSON.
      request: {
        node: nodeId,
        inputs: { ...inputs, run_name: name } as RunRequest['inputs'],
        folders: {
          data: foldersOf(context.roots, 'data'),
          models: foldersOf(context.roots, 'models'),
        },
      },
    },
    context.signal,
  );
  let best: BestModel | undefined;
  for (;;) {
    const next = await events.next();
    if (next.done) {
      if (best) context.onNotice?.(bestText(best));
      return { ...next.value, run };
    }
    const event = next.value;
    switch (event.kind) {
      case 'step':
        context.onProgress(event);
        break;
      case 'samples':
        await writeSamples(run, event.step, event.samples, context);
        break;
      case 'best':
        best = event;
        break;
      case 'resumed':
        context.onNotice?.(`run ${name} goes on after step ${event.step}`);
        break;
      case 'notice':
        context.onNotice?.(event.message);
        break;
      case 'checkpoint':
        break;
    }
  }
}

function bestText({ step, metric, value, file }: BestModel): string {
  return `best ${metric.replace(EVALUATED, '')} ${Number(value.toPrecision(4))} at step ${step}: ${file}`;
}

/** A link in the output folder may lead out of it; nothing is written there. */
async function requireInside(output: string, folder: string): Promise<void> {
  const runs = dirname(folder);
  await mkdir(runs, { recursive: true }).catch((cause) => {
    throw new FlowstepError('FILE_UNWRITABLE', `the folder ${runs} cannot be made`, {
      file: runs,
      hint: 'Check that you may write there, or choose another output folder.',
      cause,
    });
  });
  const root = await realpath(output);
  for (const path of [runs, folder]) {
    // A run that starts has no folder yet.
    const real = await realpath(path).catch(() => undefined);
    if (real === undefined || isInside(root, real)) continue;
    throw new FlowstepError('FILE_UNWRITABLE', `${path} is a link out of the output folder`, {
      file: path,
      hint: 'Make the whole output folder the link, or set FLOWSTEP_OUTPUT.',
    });
  }
}

/** Shows samples/step-000000500.png and keeps it; samples that cannot be shown (latents) leave none. */
async function writeSamples(
  run: TrainingRun,
  step: number,
  samples: Tensor<'float32'>,
  context: NodeContext,
): Promise<void> {
  if (lookOf(samples.shape.slice(1)) === 'none') return;
  const folder = join(run.folder, 'samples');
  await mkdir(folder, { recursive: true });
  const file = join(folder, `step-${String(step).padStart(9, '0')}.png`);
  const picture = pictureOfSamples(samples);
  const png = await encodePng(picture);
  await atomicWrite(file, [png]);
  context.onPreview?.({ step, png, width: picture.width, height: picture.height });
}

/** Throws unless the training went to its end. Call it once the models are stored: they are the last good state. */
export function requireFinished(outcome: Outcome, run: TrainingRun): void {
  const kept = `What was trained until then is in ${run.folder}; run it again to go on.`;
  switch (outcome.kind) {
    case 'finished':
      return;
    case 'interrupted':
      throw new FlowstepError('INTERRUPTED', 'training interrupted', { hint: kept });
    case 'diverged': {
      const { code, message, details } = outcome.problem;
      throw new FlowstepError(code, message, {
        ...details,
        hint: [details.hint, `The run is in ${run.folder}.`].filter(Boolean).join(' '),
      });
    }
  }
}

/** Writes a model of the run and names it. */
export async function storeModel(
  run: TrainingRun,
  name: 'teacher' | 'student' | 'online',
  model: FlowModel,
  context: NodeContext,
): Promise<FileRef> {
  const file = `${name}.safetensors`;
  await saveModel(join(run.folder, file), model);
  return nameFile(context.roots, 'output', `${run.path}/${file}`);
}

/** The run's statistics as a handle. */
export async function reportOf(
  run: TrainingRun,
  title: string,
  context: NodeContext,
): Promise<FlowReportHandle> {
  const ref = await nameFile(context.roots, 'output', `${run.path}/${STATS_FILE}`);
  return { type: 'FLOW_REPORT', title, ...ref };
}
