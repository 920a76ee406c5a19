/** @file Pictures that carry the workflow that made them, as ComfyUI's do. */
import type { RunningWorkflow } from '../node-context.ts';
import { encodePng, type Picture } from './picture.ts';
import { withPngText } from './png-text.ts';

/** The picture as a PNG; without a workflow it carries none. */
export async function pngWithWorkflow(
  picture: Picture,
  workflow: RunningWorkflow | undefined,
): Promise<Uint8Array> {
  return withPngText(await encodePng(picture), workflow ? textsOf(workflow) : {});
}

/** The texts that ComfyUI writes and reads; it leaves `workflow` out as well where there is no such form. */
function textsOf({ prompt, workflow }: RunningWorkflow): Record<string, string> {
  return {
    prompt: asciiJson(prompt),
    ...(workflow !== undefined && { workflow: asciiJson(workflow) }),
  };
}

/** Anything but ASCII escaped, as Python writes JSON: every reader of PNG texts agrees about the rest. */
function asciiJson(value: unknown): string {
  return JSON.stringify(value).replace(
    /[^ -~]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
