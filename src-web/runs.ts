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

  /** What the server remembers of a run; what was received meanwhile is newer and stays. */
  restore(update: RunUpdate, isRunning: boolean): Run {
    const known = this.#find(update);
    if (known) {
      known.points = append(update.points, known.points);
      return known;
    }
    const run = this.receive(update);
    if (run.state === 'running' && !isRunning) run.state = 'stopped';
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
