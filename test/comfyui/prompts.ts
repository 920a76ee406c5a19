/** @file Shipped workflows as prompts for ComfyUI, at a small size. */
import { join } from 'node:path';
import { applyOverrides } from '../../src/host/overrides.ts';
import { apiForm, parseWorkflow } from '../../src/host/workflow.ts';
import { readWorkflowFile } from '../../src/host/workflow-file.ts';
import { allNodes } from '../../src/nodes/all-nodes.ts';
import type { Prompt } from './comfy-client.ts';
import { PACK } from './comfyui.ts';

/** Points in the plane from data to one-step samples, in a second or two. */
export const SMALL_2D = [
  'Train Flow Teacher.steps=60',
  'Train Flow Teacher.batch=64',
  'Train Flow Teacher.warmup=0',
  'Train Flow Teacher.sample_every=0',
  'FGM Distill.steps=60',
  'FGM Distill.batch=64',
  'FGM Distill.warmup=0',
  'FGM Distill.schedule=constant',
  'FGM Distill.sample_every=20',
  'Flow Sampler.count=50',
  'Flow Sampler.steps=3',
  'One-Step Sampler.count=50',
];

export function workflowFile(name: string): string {
  return join(PACK, 'workflows', name);
}

/** The API form of workflows/NAME with the overrides (NODE.INPUT=VALUE). */
export async function promptOf(name: string, overrides: readonly string[] = []): Promise<Prompt> {
  const registry = allNodes();
  const { json } = await readWorkflowFile(workflowFile(name));
  const workflow = parseWorkflow(json, registry, name);
  return apiForm(applyOverrides(workflow, overrides, registry)) as Prompt;
}

/** The only node of a type in a prompt. */
export function idOf(prompt: Prompt, type: string): string {
  const ids = Object.keys(prompt).filter((id) => prompt[id]!.class_type === type);
  if (ids.length !== 1) throw new Error(`${ids.length} nodes ${type}`);
  return ids[0]!;
}
