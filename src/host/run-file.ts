/** @file A workflow file from reading to the last node. */
import { type ExecutionOptions, executeWorkflow, type NodeRun } from './executor.ts';
import { applyOverrides } from './overrides.ts';
import { requireValid } from './validate.ts';
import { readWorkflow } from './workflow.ts';

export interface RunFileOptions extends ExecutionOptions {
  /** NODE.INPUT=VALUE, in order. */
  readonly overrides?: readonly string[];
}

/** Reads, changes, checks and runs the workflow. */
export async function runWorkflowFile(file: string, options: RunFileOptions): Promise<NodeRun[]> {
  const saved = await readWorkflow(file, options.registry);
  const workflow = applyOverrides(saved, options.overrides ?? [], options.registry);
  requireValid(workflow, options.registry, file);
  return executeWorkflow(workflow, options);
}
