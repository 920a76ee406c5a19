/** @file From a sweep file to its rows, all checked before anything runs. */
import { dirname, resolve } from 'node:path';
import { FlowstepError, type Issue } from '../../errors.ts';
import type { Roots } from '../../nodes/node-context.ts';
import type { NodeRegistry } from '../../nodes/registry.ts';
import { canonicalJson } from '../../trainer/files/canonical-json.ts';
import { sha256 } from '../../trainer/files/hash.ts';
import { requireValid, validateWorkflow } from '../validate.ts';
import { apiForm, parseWorkflow, readWorkflow, type Workflow } from '../workflow.ts';
import { contentKeys, Fingerprints } from './content-keys.ts';
import type { Job, JobMeasure } from './job.ts';
import { measuredNodes, resolveMeasures, resolveTargets, type Targets } from './plan-names.ts';
import { type Configuration, configurations, type Settings, type Sweep } from './sweep-file.ts';
import { everyNodeWanted, upstreamOf } from './wanted-nodes.ts';

/** Raise it when the same row gives other numbers than before: all rows are then missing. */
const ROW_VERSION = 1;
/** Characters of the hash in a run's name; enough to tell all runs of an output folder apart. */
const RUN_NAME_HASH = 24;
/** Of the mistakes in rows, so that one in a grid of thousands can be read. */
const MAX_ISSUES = 20;

export interface PlannedRow {
  /** The value of each column; what a row does not set is as the workflow has it. */
  readonly settings: Settings;
  readonly seed: number | undefined;
  readonly job: Job;
  /** Names of the shared runs that it begins with. */
  readonly needs: readonly string[];
}

export interface Plan {
  readonly sweep: Sweep;
  /** Names of what varies, but for the seed. */
  readonly parameters: readonly string[];
  readonly rows: readonly PlannedRow[];
  /** Training runs that several rows begin with, each after those that it needs. */
  readonly shared: readonly SharedJob[];
}

export interface SharedJob {
  /** Of the run. */
  readonly name: string;
  readonly job: Job;
  /** Names of the shared runs that it begins with. */
  readonly needs: readonly string[];
}

export interface PlanOptions {
  readonly registry: NodeRegistry;
  readonly roots: Roots;
  readonly signal: AbortSignal;
  /** The sweep's file: for messages, and the folder that its paths are relative to. */
  readonly file: string;
}

/**
 * The rows of a sweep. Throws UNKNOWN_KEY for inputs and nodes that there are not, with those that there are;
 * WORKFLOW_INVALID for values that an input does not take; FILE_NOT_FOUND for models and data that are not there.
 */
export async function planSweep(sweep: Sweep, options: PlanOptions): Promise<Plan> {
  const { file, registry } = options;
  const base = await baseWorkflow(sweep, options);
  const targets = resolveTargets(sweep, base, registry, file);
  const measures = await resolveMeasures(sweep, base, options);
  const fixed = assign(base, sweep.set, targets);
  requireValid(upstreamOf(fixed, measuredNodes(measures)), everyNodeWanted(registry), file);

  const wanted = configurations(sweep).map((configuration) => {
    const workflow = configured(fixed, configuration, sweep, targets);
    return { configuration, workflow: upstreamOf(workflow, measuredNodes(measures)) };
  });
  requireRowsValid(wanted, registry, file);
  const fingerprints = new Fingerprints(options.roots, options.signal);
  const drafts: Draft[] = [];
  for (const { configuration, workflow } of wanted) {
    const keys = await contentKeys(workflow, registry, fingerprints);
    const runs = trainingRuns(workflow, keys, registry);
    drafts.push({ configuration, workflow: withRunNames(workflow, runs), keys, runs });
  }
  const shared = sharedRuns(drafts);
  const parameters = [
    ...new Set(drafts.flatMap(({ configuration }) => Object.keys(configuration.settings))),
  ];
  return {
    sweep,
    parameters,
    rows: drafts.map((draft) => plannedRow(draft, measures, shared, parameters, targets)),
    shared: sharedJobs(drafts, shared),
  };
}

/** A row on the way. */
interface Draft {
  readonly configuration: Configuration;
  readonly workflow: Workflow;
  /** Content hashes by node. */
  readonly keys: ReadonlyMap<string, string>;
  /** Names of the runs of nodes that train, by node. */
  readonly runs: ReadonlyMap<string, string>;
}

async function baseWorkflow(
  { workflow }: Sweep,
  { file, registry }: PlanOptions,
): Promise<Workflow> {
  return typeof workflow === 'string'
    ? readWorkflow(resolve(dirname(file), workflow), registry)
    : parseWorkflow(workflow, registry, `the workflow in ${file}`);
}

function configured(
  fixed: Workflow,
  { settings, seed }: Configuration,
  { seeds }: Sweep,
  targets: Targets,
): Workflow {
  const seeded = seed === undefined ? [] : (seeds?.inputs ?? []).map((name) => [name, seed]);
  return assign(fixed, { ...settings, ...Object.fromEntries(seeded) }, targets);
}

function assign(workflow: Workflow, settings: Settings, targets: Targets): Workflow {
  const nodes = new Map(workflow);
  for (const [name, value] of Object.entries(settings)) {
    const { node: id, input } = targets.get(name)!;
    const node = nodes.get(id)!;
    const inputs = { ...node.inputs, [input]: { kind: 'constant' as const, value } };
    nodes.set(id, { ...node, inputs });
  }
  return nodes;
}

function requireRowsValid(
  rows: readonly { readonly configuration: Configuration; readonly workflow: Workflow }[],
  registry: NodeRegistry,
  file: string,
): void {
  // A value that an input does not take is wrong in many rows, and told with the first.
  const issues = new Map<string, Issue>();
  for (const { configuration, workflow } of rows) {
    for (const issue of validateWorkflow(workflow, everyNodeWanted(registry))) {
      const id = canonicalJson(issue);
      if (issues.has(id)) continue;
      issues.set(id, { ...issue, message: `${issue.message} (${labelOf(configuration)})` });
    }
    if (issues.size >= MAX_ISSUES) break;
  }
  if (issues.size === 0) return;
  throw new FlowstepError('WORKFLOW_INVALID', `rows of ${file} cannot run`, {
    file,
    issues: [...issues.values()],
  });
}

/** For people: what a row sets, as `student.t_star=0.9 seed=2`. */
export function labelOf({ settings, seed }: Pick<PlannedRow, 'settings' | 'seed'>): string {
  const all = Object.entries({ ...settings, ...(seed !== undefined && { seed }) });
  return all.map(([name, value]) => `${name}=${value}`).join(' ') || 'the only row';
}

/** Nodes with an input `run_name` train; what they train is named by all that decides it, steps included. */
function trainingRuns(
  workflow: Workflow,
  keys: ReadonlyMap<string, string>,
  registry: NodeRegistry,
): Map<string, string> {
  const trains = (type: string) =>
    registry.find(type)?.definition.inputs.some(({ name }) => name === 'run_name');
  return new Map(
    [...workflow.values()]
      .filter(({ type }) => trains(type))
      .map(({ id }) => [id, `sweep-${keys.get(id)!.slice(0, RUN_NAME_HASH)}`]),
  );
}

function withRunNames(workflow: Workflow, runs: ReadonlyMap<string, string>): Workflow {
  const constant = (value: string) => ({ kind: 'constant' as const, value });
  return new Map(
    [...workflow].map(([id, node]) => {
      const name = runs.get(id);
      if (name === undefined) return [id, node];
      const run = { run_name: constant(name), resume: constant('auto') };
      return [id, { ...node, inputs: { ...node.inputs, ...run } }];
    }),
  );
}

/** Names of runs that rows of different content have in common. */
function sharedRuns(drafts: readonly Draft[]): Set<string> {
  const rowsOf = new Map<string, Set<string>>();
  for (const { keys, runs } of drafts) {
    const row = [...keys.values()].sort().join();
    for (const name of runs.values()) {
      rowsOf.set(name, (rowsOf.get(name) ?? new Set()).add(row));
    }
  }
  return new Set([...rowsOf].filter(([, rows]) => rows.size > 1).map(([name]) => name));
}

function plannedRow(
  { configuration, workflow, keys, runs }: Draft,
  measures: readonly JobMeasure[],
  shared: ReadonlySet<string>,
  parameters: readonly string[],
  targets: Targets,
): PlannedRow {
  const { settings, seed } = configuration;
  const measured = measures.map((measure) => ({
    ...measure,
    ...('report' in measure
      ? { report: keys.get(measure.report) }
      : { model: keys.get(measure.model), data: keys.get(measure.data) }),
  }));
  const shown = Object.fromEntries(
    parameters.map((name) => [name, settings[name] ?? standing(workflow, targets, name)]),
  );
  return {
    settings: shown,
    seed,
    job: {
      key: sha256(canonicalJson({ version: ROW_VERSION, measured })),
      settings: { ...shown, ...(seed !== undefined && { seed }) },
      workflow: apiForm(workflow),
      measures: [...measures],
      ownRuns: [...runs.values()].filter((name) => !shared.has(name)),
    },
    needs: [...runs.values()].filter((name) => shared.has(name)),
  };
}

/** What an input has that a row leaves as it is. */
function standing(workflow: Workflow, targets: Targets, name: string) {
  const { node, input, standard } = targets.get(name)!;
  const given = workflow.get(node)?.inputs[input];
  const value = given?.kind === 'constant' ? given.value : standard;
  return typeof value === 'number' || typeof value === 'boolean' ? value : String(value ?? '');
}

/** One job for each shared run: the workflow up to the node that trains it. */
function sharedJobs(drafts: readonly Draft[], shared: ReadonlySet<string>): SharedJob[] {
  const jobs = new Map<string, SharedJob>();
  for (const { workflow, keys, runs } of drafts) {
    // In file order a node may come before what it is linked to, but it never needs more of them.
    const found = [...runs]
      .filter(([, name]) => shared.has(name) && !jobs.has(name))
      .map(([id, name]) => ({ id, name, part: upstreamOf(workflow, [id]) }))
      .sort((a, b) => a.part.size - b.part.size);
    for (const { id, name, part } of found) {
      const needs = [...part.keys()].filter((node) => node !== id).map((node) => runs.get(node));
      jobs.set(name, {
        name,
        needs: needs.filter((run) => run !== undefined),
        job: {
          key: sha256(canonicalJson({ version: ROW_VERSION, prepare: keys.get(id) })),
          settings: {},
          workflow: apiForm(part),
          measures: [],
          ownRuns: [name],
        },
      });
    }
  }
  return [...jobs.values()];
}
