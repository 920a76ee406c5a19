/** @file A training run of a node: its folder below runs/, sample pictures, progress, and the models it leaves. */
import { mkdir, realpath } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { FlowstepError } from '../errors.ts';
import { atomicWrite } from '../trainer/files/atomic-write.ts';
import { makeFolder } from '../trainer/files/make-folder.ts';
import type { BestModel, Evaluation } from '../trainer/run/evaluation.ts';
import { EVALUATED } from '../trainer/run/evaluation-prefix.ts';
import type { FlowModel } from '../trainer/run/model.ts';
import { saveModel } from '../trainer/run/model-file.ts';
import type { Outcome } from '../trainer/run/outcome.ts';
import { identityOf, type RunRequest } from '../trainer/run/run-file.ts';
import { type TrainResult, train } from '../trainer/run/train.ts';
import type { Trainer } from '../trainer/run/trainer.ts';
import type { Tensor } from '../trainer/tensor.ts';
import type { RunInputs } from './common-inputs.ts';
import { lookOf, pictureOfSamples } from './draw-samples.ts';
import { findFinished, KEPT_STEPS, keepFinished, modelFile } from './finished-steps.ts';
import { type NodeContext, tellDevice } from './node-context.ts';
import { encodePng } from './pictures/picture.ts';
import { type FileRef, foldersOf, isInside } from './root-files.ts';

interface TrainingRun {
  readonly name: string;
  /** Absolute. */
  readonly folder: string;
  /** Relative to the output folder, with forward slashes. */
  readonly path: string;
}

/** A run's name when none is given begins with this. */
type Kind = 'teacher' | 'student';

type Unfinished = Exclude<Outcome, { readonly kind: 'finished' }>;

export interface WantedRun<Name extends string> {
  readonly kind: Kind;
  /** Id of the node. */
  readonly node: string;
  readonly inputs: RunInputs & { readonly steps: number };
  /** What the trainer makes. */
  readonly models: readonly Name[];
  readonly evaluation?: Evaluation | undefined;
  /** A model as it is to be saved, where that says more than training knows. */
  named?(model: FlowModel): FlowModel;
}

/** What a run has made after the steps that were asked for. */
export interface TrainedRun<Name extends string> {
  readonly name: string;
  readonly models: Readonly<Record<Name, FileRef>>;
  /** Its statistics until then. */
  readonly stats: FileRef;
  /** Relative to the output folder: what was written, by the names that the next steps will have too. */
  readonly files: readonly string[];
}

/** Characters of the identity in such a name; enough to tell a user's runs apart. */
const NAME_HASH = 8;

/**
 * Trains to the end, or until it is stopped, and stores the models; what happens is told to the context and kept in the
 * run's folder. A run that has gone on to more steps gives what it had made after those that are asked for, or throws
 * RUN_MISMATCH where it has not kept that.
 */
export async function runTraining<Name extends string>(
  trainer: Trainer<Readonly<Record<Name, FlowModel>>>,
  wanted: WantedRun<Name>,
  context: NodeContext,
): Promise<TrainedRun<Name>> {
  const { kind, inputs, models } = wanted;
  const { steps } = inputs;
  const identity = identityOf(trainer.configuration);
  const name = inputs.run_name || `${kind}-${identity.slice(0, NAME_HASH)}`;
  const run = { name, folder: join(context.roots.output, 'runs', name), path: `runs/${name}` };
  await requireInside(context.roots.output, run.folder);
  const known =
    inputs.resume === 'never'
      ? undefined
      : await findFinished(run, { identity, steps }, models, context.roots);
  if (known) {
    trainer.dispose();
    context.onNotice?.(`run ${name} has gone on since: this is what it had made at step ${steps}`);
    return { name, ...known, files: models.map((model) => known.models[model].path) };
  }
  tellDevice(context);
  const { outcome, step: last, models: trained } = await trainIn(run, trainer, wanted, context);
  const named = {} as Record<Name, FlowModel>;
  for (const model of models) named[model] = wanted.named?.(trained[model]) ?? trained[model];
  if (outcome.kind !== 'finished') {
    // No node gives them to others: they are the last good state, for people.
    for (const model of models) await saveModel(join(run.folder, modelFile(model)), named[model]);
    throw notFinished(outcome, run);
  }
  const { removed, ...kept } = await keepFinished(run, last, named, context.roots);
  for (const step of removed) context.onNotice?.(removedText(run, step));
  return { name, ...kept, files: models.map((model) => `${run.path}/${modelFile(model)}`) };
}

async function trainIn<Models extends Readonly<Record<string, FlowModel>>>(
  run: TrainingRun,
  trainer: Trainer<Models>,
  { node, inputs, evaluation }: WantedRun<string>,
  context: NodeContext,
): Promise<TrainResult<Models>> {
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
        node,
        inputs: { ...inputs, run_name: run.name } as RunRequest['inputs'],
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
      return next.value;
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
        context.onNotice?.(`run ${run.name} goes on after step ${event.step}`);
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

function removedText({ name }: TrainingRun, step: number): string {
  return `run ${name} keeps the models of ${KEPT_STEPS} numbers of steps: those of step ${step} are removed`;
}

/** A link in the output folder may lead out of it; nothing is written there. */
async function requireInside(output: string, folder: string): Promise<void> {
  const runs = dirname(folder);
  await makeFolder(runs);
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

function notFinished(outcome: Unfinished, { folder }: TrainingRun): FlowstepError {
  if (outcome.kind === 'interrupted') {
    const kept = `What was trained until then is in ${folder}; run it again to go on.`;
    return new FlowstepError('INTERRUPTED', 'training interrupted', { hint: kept });
  }
  const { code, message, details } = outcome.problem;
  const hint = [details.hint, `The run is in ${folder}.`].filter(Boolean).join(' ');
  return new FlowstepError(code, message, { ...details, hint });
}
