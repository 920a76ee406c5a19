/** @file Where the JSON of a workflow comes from: a file of its own, or a PNG that carries what made it. */
import { readFile } from 'node:fs/promises';
import { FlowstepError } from '../errors.ts';
import { isPng, readPngText } from '../nodes/pictures/png-text.ts';
import { isUiWorkflow } from './ui-schema.ts';

export interface WorkflowFile {
  /** What to run, in either form. */
  readonly json: unknown;
  /** The front end's form as it was saved, where there is one. */
  readonly uiForm?: unknown;
}

/** JSON.parse, or one that reads more. */
type Parse = (text: string) => unknown;

/** Reads a JSON file, or the texts `prompt` and `workflow` of a PNG by Flowstep or ComfyUI. */
export async function readWorkflowFile(
  file: string,
  parse: Parse = JSON.parse,
): Promise<WorkflowFile> {
  const bytes = await readBytes(file);
  return isPng(bytes)
    ? fromPicture(bytes, file, parse)
    : fromText(bytes.toString('utf8'), file, parse);
}

async function readBytes(file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (cause) {
    const isMissing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    throw isMissing
      ? new FlowstepError('FILE_NOT_FOUND', `there is no file ${file}`, { file, cause })
      : new FlowstepError('FILE_UNREADABLE', `${file} cannot be read`, { file, cause });
  }
}

function fromText(text: string, file: string, parse: Parse): WorkflowFile {
  const json = parseJson(text, file, parse, 'A workflow is the JSON file that ComfyUI saves.');
  return isUiWorkflow(json) ? { json, uiForm: json } : { json };
}

/** `prompt` is what ran; `workflow` may lack what was changed on the way. */
function fromPicture(png: Uint8Array, file: string, parse: Parse): WorkflowFile {
  const texts = textsOf(png, file);
  const [prompt, workflow] = ['prompt', 'workflow'].map((name) => {
    const text = texts.get(name);
    const hint = `The text ${name} in the picture is damaged; use the workflow's own file.`;
    return text === undefined ? undefined : parseJson(text, file, parse, hint);
  });
  const json = prompt ?? workflow;
  if (json === undefined || json === null) {
    throw new FlowstepError('WORKFLOW_INVALID', `${file} carries no workflow`, {
      file,
      hint: 'Pictures by Save Image carry one until another program saves them anew.',
    });
  }
  return isUiWorkflow(workflow) ? { json, uiForm: workflow } : { json };
}

/** The texts of a PNG by keyword; throws FILE_FORMAT, naming the file, when it is damaged. */
export function textsOf(png: Uint8Array, file: string): Map<string, string> {
  try {
    return readPngText(png);
  } catch (cause) {
    if (!(cause instanceof FlowstepError)) throw cause;
    const { code, message, details } = cause;
    throw new FlowstepError(code, `${file}: ${message}`, { ...details, file, cause });
  }
}

function parseJson(text: string, file: string, parse: Parse, hint: string): unknown {
  try {
    return parse(text);
  } catch (cause) {
    const strict = withoutNan(text);
    if (strict !== text) return parseJson(strict, file, parse, hint);
    const message = `${file} is not JSON: ${(cause as Error).message}`;
    throw new FlowstepError('FILE_FORMAT', message, { file, hint, cause });
  }
}

/** ComfyUI is written in Python, which writes NaN and Infinity where JSON has no number; they become null. */
function withoutNan(text: string): string {
  return text.replace(/"[^"\\]*(?:\\.[^"\\]*)*"|-?\b(?:NaN|Infinity)\b/g, (found) =>
    found.startsWith('"') ? found : 'null',
  );
}
