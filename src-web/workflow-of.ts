/** @file Which workflow an execution belongs to and how it ended, as ComfyUI's queue and history tell. */
import type { ComfyApi } from './comfy.ts';
import { isRecord } from './messages.ts';
import type { RunState } from './runs.ts';

/** ComfyUI's events that end an execution. */
export const ENDS: Readonly<Record<string, RunState>> = {
  execution_success: 'finished',
  execution_interrupted: 'stopped',
  execution_error: 'failed',
};

/** What the front end writes for a workflow that has no id. */
const NO_ID = '00000000-0000-0000-0000-000000000000';

/** In place of an id: a workflow without one that another page has queued, so not the one that is open. */
export const ELSEWHERE = 'elsewhere';

/** The workflow's id; null where ComfyUI does not know one, as for prompts sent by a program. */
export async function workflowOf(api: ComfyApi, promptId: string): Promise<string | null> {
  const running = (await queue(api))?.find((item) => item[1] === promptId);
  const item = running ?? (await finished(api, promptId));
  // [number, prompt id, prompt, extra data, outputs]
  const extra = item?.[3];
  const info = isRecord(extra) ? extra['extra_pnginfo'] : undefined;
  const workflow = isRecord(info) ? info['workflow'] : undefined;
  const id = isRecord(workflow) ? workflow['id'] : undefined;
  if (typeof id === 'string' && id !== NO_ID) return id;
  const client = isRecord(extra) ? extra['client_id'] : undefined;
  const isOther = typeof client === 'string' && api.clientId && client !== api.clientId;
  return isOther ? ELSEWHERE : null;
}

/**
 * How those of the prompts that run no more have ended: pages are told only of what they have queued themselves, and none
 * of what ends with ComfyUI. What ComfyUI has forgotten was stopped with it.
 */
export async function endings(
  api: ComfyApi,
  promptIds: readonly string[],
): Promise<Map<string, RunState>> {
  const running = await runningPrompts(api);
  const over = running ? [...new Set(promptIds)].filter((id) => !running.has(id)) : [];
  return new Map(await Promise.all(over.map(async (id) => [id, await endOf(api, id)] as const)));
}

async function endOf(api: ComfyApi, promptId: string): Promise<RunState> {
  const status = (await remembered(api, promptId))?.['status'];
  const messages = isRecord(status) ? status['messages'] : undefined;
  // [event, detail]
  const events = Array.isArray(messages) ? messages.flatMap((message: unknown) => message) : [];
  const end = Object.keys(ENDS).find((event) => events.includes(event));
  return ENDS[end ?? ''] ?? 'stopped';
}

/** Ids of the prompts that run at present; undefined where ComfyUI does not say. */
export async function runningPrompts(api: ComfyApi): Promise<Set<unknown> | undefined> {
  const items = await queue(api);
  return items && new Set(items.map((item) => item[1]));
}

async function queue(api: ComfyApi): Promise<readonly (readonly unknown[])[] | undefined> {
  const answer = await get(api, '/queue');
  const items = isRecord(answer) ? answer['queue_running'] : undefined;
  return Array.isArray(items) ? items.filter((item) => Array.isArray(item)) : undefined;
}

async function finished(api: ComfyApi, promptId: string): Promise<readonly unknown[] | undefined> {
  const prompt = (await remembered(api, promptId))?.['prompt'];
  return Array.isArray(prompt) ? prompt : undefined;
}

/** What ComfyUI's history has of a prompt that is over. */
async function remembered(
  api: ComfyApi,
  promptId: string,
): Promise<Readonly<Record<string, unknown>> | undefined> {
  const answer = await get(api, `/history/${encodeURIComponent(promptId)}`);
  const entry = isRecord(answer) ? answer[promptId] : undefined;
  return isRecord(entry) ? entry : undefined;
}

async function get(api: ComfyApi, path: string): Promise<unknown> {
  const response = await api.fetchApi(path);
  return response.ok ? response.json() : undefined;
}
