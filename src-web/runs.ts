/** @file The training runs that this page knows of. Each execution of a node is a run of its own. */
import type { Point, RunUpdate, Standing } from './messages.ts';
import { append } from './points.ts';

/** A page that stays open for days need not remember all it saw. */
export const MAX_RUNS = 40;

export type RunState = 'running' | 'finished' | 'stopped' | 'failed';

export interface Run {
  readonly node: string;
  readonly promptId: string;
  points: readonly Point[];
  standing: Standing;
  state: RunState;
  /** Id of the workflow it belongs to: null where none is known, undefined as long as it is being looked up. */
  workflow: string | null | undefined;
}

export class Runs {
  #runs: readonly Run[] = [];

  /** Oldest first. */
  get all(): readonly Run[] {
    return this.#runs;
  }

  has(update: RunUpdate): boolean {
    return this.#find(update) !== undefined;
  }

  /** What has just been sent of a run. */
  receive(update: RunUpdate): Run {
    const run = this.#find(update) ?? this.#add(update);
    run.points = append(run.points, update.points);
    run.standing = update.standing;
    run.state = update.points.at(-1)!.step >= update.standing.steps ? 'finished' : 'running';
    return run;
  }

  /** Ids of the prompts that have runs which still run, as far as this page knows. */
  get running(): readonly string[] {
    return this.#runs.filter((run) => run.state === 'running').map((run) => run.promptId);
  }

  /** What the server remembers of a run, which goes on or has come to this end; what was received meanwhile is newer. */
  restore(update: RunUpdate, end: RunState | undefined): Run {
    const remembered = update.points.at(-1)!.step;
    const newer = this.#find(update)?.points.filter((point) => point.step > remembered) ?? [];
    const { standing } = newer.length > 0 ? this.#find(update)! : update;
    const run = this.receive({ ...update, points: [...update.points, ...newer], standing });
    if (end) this.end(run.promptId, end);
    return run;
  }

  /** An execution has ended, so what still ran in it has too. */
  end(promptId: string, state: RunState): void {
    for (const run of this.#runs) {
      if (run.promptId === promptId && run.state === 'running') run.state = state;
    }
  }

  #find({ node, promptId }: RunUpdate): Run | undefined {
    return this.#runs.find((run) => run.node === node && run.promptId === promptId);
  }

  #add({ node, promptId, standing }: RunUpdate): Run {
    const run: Run = {
      node,
      promptId,
      points: [],
      standing,
      state: 'running',
      workflow: undefined,
    };
    this.#runs = [...this.#runs, run].slice(-MAX_RUNS);
    return run;
  }
}
