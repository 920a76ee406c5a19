/** @file Runs the nodes that train, with networks of full width but next to no steps. */
import { allNodes } from '../../src/nodes/all-nodes.ts';
import type { NodeContext } from '../../src/nodes/node-context.ts';

const registry = allNodes();

/** Runs a node; returns its outputs and files. */
export async function run(id: string, inputs: object, context: NodeContext) {
  const node = registry.find(id);
  if (!node) throw new Error(`no node ${id}`);
  return node.run(inputs as Record<string, unknown>, context);
}

export const tiny = { steps: 3, batch: 8, warmup: 0 };

export async function trainTeacher(context: NodeContext, inputs: object = {}) {
  const { outputs } = await run('FlowstepDataset', { source: 'moons' }, context);
  const named = { dataset: outputs['dataset'], run_name: 'teacher', ...tiny };
  return run('FlowstepTrainTeacher', { ...named, ...inputs }, context);
}

export async function onlineFlow(teacher: unknown, context: NodeContext) {
  const { outputs } = await run('FlowstepOnlineFlow', { teacher, updates: 2 }, context);
  return outputs['online'];
}
