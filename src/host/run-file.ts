/** @file A workflow file from reading to the last node. */
import { type ExecutionOptions, executeWorkflow, type NodeRun } from './executor.ts';
import { applyOverrides } from './overrides.ts';
import { requireValid } from './validate.ts';
import { parseWorkflow } from './workflow.ts';
import { readWorkflowFile } from './workflow-file.ts';

export interface RunFileOptions extends Omit<ExecutionOptions, 'uiForm'> {
  /** NODE.INPUT=VALUE, in order. */
  readonly overrides?: readonly string[];
}

/** Reads, changes, checks and runs the workflow of a JSON file, or of a picture that carries one. */
export async function runWorkflowFile(file: string, options: RunFileOptions): Promise<NodeRun[]> {
  const { json, uiForm } = await readWorkflowFile(file);
  const saved = parseWorkflow(json, options.registry, file);
  const workflow = applyOverrides(saved, options.overrides ?? [], options.registry);
  requireValid(workflow, options.registry, file);
  return executeWorkflow(workflow, { ...options, uiForm });
}
