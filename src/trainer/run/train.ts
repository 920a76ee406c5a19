/** @file The loop of every training run: steps, statistics, samples, checkpoints, and how it ends. */
import { FlowstepError } from '../../errors.ts';
import { DivergenceWatch } from './divergence.ts';
import { Judge } from './evaluation.ts';
import type { TrainEvent } from './events.ts';
import type { FlowModel } from './model.ts';
import { notFinite, type Outcome, ranAway } from './outcome.ts';
import { Progress } from './progress.ts';
import { RunFolder, type RunOptions } from './run-folder.ts';
import type { Trainer } from './trainer.ts';

export interface TrainResult<Models> {
  readonly outcome: Outcome;
  /** Steps done in all. */
  readonly step: number;
  readonly models: Models;
}

/** Lines that stats.jsonl should not much exceed: of longer runs every second, third... step is recorded. */
const STATS_LINES = 10_000;

/** Longest time between checkpoints of a run that writes any: where steps are slow, a crash would cost hours otherwise. */
const CHECKPOINT_PERIOD_MS = 10 * 60_000;

/**
 * Trains to step number `steps`, in a run folder when one is given, else in memory alone. Yields an event for
 * each step and for what else happens; an aborted signal ends it after the current step, with a checkpoint.
 * Disposes of the trainer.
 */
export async function* train<Models extends Readonly<Record<string, FlowModel>>>(
  trainer: Trainer<Models>,
  steps: number,
  options?: RunOptions,
  signal?: AbortSignal,
): AsyncGenerator<TrainEvent, TrainResult<Models>> {
  const watch = new DivergenceWatch(trainer.sampleSize);
  let run: RunFolder | undefined;
  try {
    let from = 0;
    if (options) {
      const opened = await RunFolder.open(options, trainer.configuration, steps, trainer.state);
      run = opened.run;
      for (const message of opened.notices) yield { kind: 'notice', message };
      if (opened.checkpoint) {
        from = opened.checkpoint.step;
        trainer.resumeAt(from, opened.stretch);
        watch.restore(opened.checkpoint.divergence);
        yield { kind: 'resumed', step: from };
      }
    }

    const progress = new Progress(steps);
    const recordEvery = Math.max(1, Math.ceil(steps / STATS_LINES));
    const due = (step: number, every: number | undefined) =>
      every !== undefined && every > 0 && step % every === 0;
    let outcome: Outcome = { kind: 'finished' };
    let [saved, savedAt] = [from, performance.now()];
    const isCheckpointDue = (step: number) =>
      due(step, options?.checkpointEvery) ||
      (options?.checkpointEvery !== 0 && performance.now() - savedAt >= CHECKPOINT_PERIOD_MS);
    let step = from;
    const judge =
      run &&
      options?.evaluation &&
      (await Judge.open(options.evaluation, run.folder, run.identity));
    if (run && judge?.isDue(from, steps)) {
      // The session before was stopped between this step and its evaluation.
      const judged = await judge.evaluate(from, trainer.averaged(), signal);
      if (judged) await run.recordStep(from, judged.metrics);
      if (judged?.best) yield { kind: 'best', ...judged.best };
    }
    while (step < steps && !judge?.isSpent) {
      if (signal?.aborted) {
        outcome = { kind: 'interrupted' };
        break;
      }
      const started = performance.now();
      const result = await trainer.step(step);
      if (result.notFinite !== undefined) {
        outcome = notFinite(result.notFinite, step + 1);
        break;
      }
      step++;
      const stepMs = performance.now() - started;
      const isJudged = judge?.isDue(step, steps) ?? false;
      if (isJudged) await trainer.download();
      const judged = isJudged ? await judge?.evaluate(step, trainer.averaged(), signal) : undefined;
      const metrics = { ...result.metrics, 'time/step_ms': stepMs, ...judged?.metrics };
      if (run && (judged || due(step, recordEvery) || step === steps)) {
        await run.recordStep(step, metrics);
      }
      yield { kind: 'step', step, steps, metrics, ...progress.tick(step, stepMs) };
      if (judged?.best) yield { kind: 'best', ...judged.best };
      if (judged?.problem) {
        outcome = { kind: 'diverged', problem: judged.problem };
        break;
      }

      const strayed = watch.check(result.metrics[trainer.watched]!);
      if (strayed) {
        outcome = ranAway(trainer.watched, strayed.average, strayed.bound, step);
        break;
      }
      if (due(step, options?.sampleEvery) || (options?.sampleEvery && step === steps)) {
        const samples = await samplesOf(trainer, signal);
        if (samples) yield { kind: 'samples', step, samples };
      }
      if (run && isCheckpointDue(step)) {
        await trainer.download();
        const file = await run.checkpoint(step, watch.state, trainer.state);
        [saved, savedAt] = [step, performance.now()];
        yield { kind: 'checkpoint', step, file };
      }
    }
    if (step < steps && judge?.isSpent) yield { kind: 'notice', message: judge.spentMessage(step) };
    await trainer.download();
    // A run that has diverged goes on, if at all, from a checkpoint before.
    if (run && outcome.kind !== 'diverged' && step > saved) {
      const file = await run.checkpoint(step, watch.state, trainer.state);
      yield { kind: 'checkpoint', step, file };
    }
    await run?.end(outcome.kind);
    return { outcome, step, models: trainer.models() };
  } finally {
    trainer.dispose();
    await run?.[Symbol.asyncDispose]();
  }
}

/** Undefined when they were stopped on the way: the loop then ends in order. */
async function samplesOf<Models extends Readonly<Record<string, FlowModel>>>(
  trainer: Trainer<Models>,
  signal: AbortSignal | undefined,
) {
  try {
    return await trainer.samples(signal);
  } catch (error) {
    if (error instanceof FlowstepError && error.code === 'INTERRUPTED') return undefined;
    throw error;
  }
}
