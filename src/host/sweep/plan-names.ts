/** @file What the names in a sweep file mean: inputs that vary, models and data that are measured. */
import { FlowstepError, type Issue } from '../../errors.ts';
import type { Roots } from '../../nodes/node-context.ts';
import type { NodeRegistry } from '../../nodes/registry.ts';
import { resolveInside } from '../../nodes/root-files.ts';
import { FeatureExtractor } from '../../trainer/metrics/extractor.ts';
import { requireEnough } from '../../trainer/metrics/measure-pictures.ts';
import { findNode, findTarget } from '../overrides.ts';
import { nodeName, type Workflow, type WorkflowNode } from '../workflow.ts';
import type { JobMeasure } from './job.ts';
import type { Measure, PicturesMeasure, ReportMeasure } from './measure-schema.ts';
import type { PlanOptions } from './plan.ts';
import type { Sweep } from './sweep-file.ts';

/** Ids of node and input by NODE.INPUT as the file has it, and the input's default. */
export type Targets = ReadonlyMap<
  string,
  { readonly node: string; readonly input: string; readonly standard: unknown }
>;

/** Collects what is wrong, so that all of it is told at once. */
class Problems {
  readonly issues: Issue[] = [];

  /** What `action` gives; undefined when it threw, which is noted with its hint. */
  catch<T>(action: () => T): T | undefined {
    try {
      return action();
    } catch (error) {
      if (!(error instanceof FlowstepError)) throw error;
      this.issues.push({ message: [error.message, error.hint].filter(Boolean).join('. ') });
      return undefined;
    }
  }

  throwIfAny(file: string): void {
    if (this.issues.length === 0) return;
    throw new FlowstepError('UNKNOWN_KEY', `${file} names what there is not`, {
      file,
      issues: this.issues,
      hint: '`flowstep nodes` lists the inputs of all nodes with their values.',
    });
  }
}

/** A measure whose nodes are ids. */
type Resolved = Measure extends infer One
  ? One extends ReportMeasure
    ? One & { readonly as: string }
    : One & { readonly as: string; readonly data: string }
  : never;

/** All inputs that the sweep sets. Throws UNKNOWN_KEY with every name that means nothing, and inputs that are set twice. */
export function resolveTargets(
  sweep: Sweep,
  workflow: Workflow,
  registry: NodeRegistry,
  file: string,
): Targets {
  const problems = new Problems();
  const targets = new Map<string, { node: string; input: string; standard: unknown }>();
  const setBy = new Map<string, string>();
  const places: readonly (readonly [place: string, names: readonly string[]])[] = [
    ['set', Object.keys(sweep.set)],
    ['list', [...new Set(sweep.list.flatMap((settings) => Object.keys(settings)))]],
    ['grid', Object.keys(sweep.grid)],
    ['seeds', sweep.seeds?.inputs ?? []],
  ];
  for (const [place, names] of places) {
    for (const name of names) {
      const found = problems.catch(() => findTarget(workflow, name, registry, place));
      if (!found) continue;
      const { node, input } = found;
      const id = `${node.id}.${input.name}`;
      const before = setBy.get(id);
      if (before !== undefined) {
        problems.issues.push({ message: `${place}: ${name} is set by ${before} already` });
      }
      setBy.set(id, place);
      targets.set(name, { node: node.id, input: input.name, standard: input.default });
    }
  }
  problems.throwIfAny(file);
  return targets;
}

/** The measures with ids for names. Throws UNKNOWN_KEY, and what is wrong with an extractor. */
export async function resolveMeasures(
  sweep: Sweep,
  workflow: Workflow,
  { registry, roots, file }: Pick<PlanOptions, 'registry' | 'roots' | 'file'>,
): Promise<JobMeasure[]> {
  const problems = new Problems();
  const found = sweep.measure.flatMap((measure, i) => {
    const said = `measure ${i + 1}`;
    return problems.catch(() => resolveMeasure(measure, workflow, registry, said)) ?? [];
  });
  const names = found.map(({ as }) => as);
  const twice = names.find((name, i) => names.indexOf(name) < i);
  if (twice !== undefined) {
    const message = `measure: two are called ${twice}. Give them names of their own with "as".`;
    problems.issues.push({ message });
  }
  problems.throwIfAny(file);
  return Promise.all(
    found.map(async (measure) =>
      'extractor' in measure
        ? { ...measure, seenBy: await extractorHash(measure, roots) }
        : measure,
    ),
  );
}

/** Of what the extractor gives; one that cannot be used is told before anything runs. */
async function extractorHash(
  { extractor: file, metrics, samples }: Pick<PicturesMeasure, 'extractor' | 'metrics' | 'samples'>,
  roots: Roots,
): Promise<string> {
  using extractor = await FeatureExtractor.open(await resolveInside(roots, 'models', file));
  if (metrics.includes('fid')) requireEnough(extractor, 'the samples', samples, 'samples');
  return extractor.hash;
}

/** Ids of the nodes whose results are measured. */
export function measuredNodes(measures: readonly JobMeasure[]): string[] {
  return measures.flatMap((m) => ('report' in m ? [m.report] : [m.model, m.data]));
}

function resolveMeasure(
  measure: Measure,
  workflow: Workflow,
  registry: NodeRegistry,
  said: string,
): Resolved {
  if ('report' in measure) {
    const node = findNode(workflow, measure.report, said);
    const outputs = registry.find(node.type)?.definition.outputs ?? [];
    requireOutput(
      node,
      outputs.some(({ name }) => name === 'report'),
      'report',
      said,
    );
    return { ...measure, report: node.id, as: measure.as ?? measure.report };
  }
  const gives = (node: WorkflowNode, type: string) =>
    registry.find(node.type)?.definition.outputs.some((output) => output.type === type) ?? false;
  const model = findNode(workflow, measure.model, said);
  requireOutput(model, gives(model, 'FLOW_MODEL'), 'FLOW_MODEL', said);
  const data =
    measure.data === undefined
      ? onlyNode(
          [...workflow.values()].filter((node) => gives(node, 'FLOW_DATASET')),
          said,
        )
      : findNode(workflow, measure.data, said);
  requireOutput(data, gives(data, 'FLOW_DATASET'), 'FLOW_DATASET', said);
  return { ...measure, model: model.id, data: data.id, as: measure.as ?? measure.model };
}

function requireOutput(node: WorkflowNode, has: boolean, output: string, said: string): void {
  if (has) return;
  throw new FlowstepError('UNKNOWN_KEY', `${said}: node ${nodeName(node)} gives no ${output}`);
}

function onlyNode(nodes: readonly WorkflowNode[], said: string): WorkflowNode {
  const [only] = nodes;
  if (only && nodes.length === 1) return only;
  const which = nodes.map(nodeName).join(', ') || 'none';
  throw new FlowstepError(
    'UNKNOWN_KEY',
    `${said}: "data" must name the data to compare with; there are ${which}`,
  );
}
