/** @file Which workflow an execution belongs to, as ComfyUI's queue and history tell. */
import type { ComfyApi } from './comfy.ts';
import { isRecord } from './messages.ts';

/** What the front end writes for a workflow that has no id. */
const NO_ID = '00000000-0000-0000-0000-000000000000';

/** The workflow's id; null where ComfyUI does not know one, as for prompts sent by a program. */
export async function workflowOf(api: ComfyApi, promptId: string): Promise<string | null> {
  const running = (await queue(api)).find((item) => item[1] === promptId);
  const item = running ?? (await finished(api, promptId));
  // [number, prompt id, prompt, extra data, outputs]
  const extra = item?.[3];
  const info = isRecord(extra) ? extra['extra_pnginfo'] : undefined;
  const workflow = isRecord(info) ? info['workflow'] : undefined;
  const id = isRecord(workflow) ? workflow['id'] : undefined;
  return typeof id === 'string' && id !== NO_ID ? id : null;
}

/** Ids of the prompts that run at present. */
export async function runningPrompts(api: ComfyApi): Promise<Set<unknown>> {
  return new Set((await queue(api)).map((item) => item[1]));
}

async function queue(api: ComfyApi): Promise<readonly (readonly unknown[])[]> {
  const answer = await get(api, '/queue');
  const items = isRecord(answer) ? answer['queue_running'] : undefined;
  return Array.isArray(items) ? items.filter((item) => Array.isArray(item)) : [];
}

async function finished(api: ComfyApi, promptId: string): Promise<readonly unknown[] | undefined> {
  const answer = await get(api, `/history/${encodeURIComponent(promptId)}`);
  const entry = isRecord(answer) ? answer[promptId] : undefined;
  const prompt = isRecord(entry) ? entry['prompt'] : undefined;
  return Array.isArray(prompt) ? prompt : undefined;
}

async function get(api: ComfyApi, path: string): Promise<unknown> {
  const response = await api.fetchApi(path);
  return response.ok ? response.json() : undefined;
}
