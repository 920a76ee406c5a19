/** @file Whether a run folder is whole: its record, its statistics, its checkpoints and its models. */
import { basename, join } from 'node:path';
import { asFlowstepError } from '../errors.ts';
import { listCheckpoints, loadCheckpoint } from '../trainer/run/checkpoint.ts';
import { identityOf, type RunFile, readRunFile } from '../trainer/run/run-file.ts';
import { STATS_FILE } from '../trainer/run/run-folder.ts';
import type { StatsLine } from '../trainer/run/stats.ts';
import { modelsIn, recordedSteps } from './inspect-run.ts';
import { type Findings, verifySafetensors } from './verify-model.ts';
import { checkFinite } from './verify-tensors.ts';

/** Throws when run.json cannot be read; everything else that is wrong is among the problems. */
export async function verifyRun(folder: string): Promise<Findings> {
  const run = await readRunFile(folder);
  const problems =
    identityOf(run.configuration) === run.identity
      ? []
      : ['run.json: the identity is not that of the configuration'];
  const steps = await attempt(STATS_FILE, problems, () => recordedSteps(folder));
  if (steps) problems.push(...risingSteps(steps));
  const checkpoints = await listCheckpoints(folder);
  for (const { step, file } of checkpoints) {
    const found = await attempt(basename(file), problems, () => checkCheckpoint(file, step, run));
    problems.push(...(found ?? []));
  }
  const models = await modelsIn(folder);
  for (const name of models) {
    const found = await attempt(name, problems, () => verifySafetensors(join(folder, name)));
    problems.push(...(found?.problems ?? []).map((problem) => `${name}: ${problem}`));
  }
  const checked = [
    'run.json',
    `${steps?.length ?? 0} recorded steps`,
    counted(checkpoints.length, 'checkpoint'),
    counted(models.length, 'model'),
  ];
  return { kind: 'run', checked, problems };
}

/** The result, or undefined with a problem more. */
async function attempt<T>(
  name: string,
  problems: string[],
  action: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await action();
  } catch (thrown) {
    const error = asFlowstepError(thrown);
    if (error.kind === 'bug') throw error;
    problems.push(`${name}: ${error.message}`);
    return undefined;
  }
}

function risingSteps(steps: readonly StatsLine[]): string[] {
  const at = steps.findIndex(({ step }, i) => i > 0 && step <= steps[i - 1]!.step);
  if (at < 0) return [];
  const [before, here] = [steps[at - 1]!.step, steps[at]!.step];
  return [`${STATS_FILE}: step ${here} in line ${at + 1} comes after step ${before}`];
}

async function checkCheckpoint(file: string, step: number, run: RunFile): Promise<string[]> {
  // Nothing is loaded: only identity, step and content are looked at.
  const info = await loadCheckpoint(file, run.identity, new Map());
  const problems = (await checkFinite(file)).map((problem) => `${basename(file)}: ${problem}`);
  if (info.step !== step) problems.push(`${basename(file)}: it is of step ${info.step}`);
  return problems;
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}
