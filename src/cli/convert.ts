/** @file `flowstep convert`: the API form of a workflow, as ComfyUI's front end makes it. */
import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { FlowstepError } from '../errors.ts';
import { readApiWorkflow } from '../host/api-workflow.ts';
import { parseLossless, stringifyLossless } from '../host/lossless-json.ts';
import { type NodeTypes, readObjectInfo, registryTypes } from '../host/object-info.ts';
import { isUiWorkflow } from '../host/ui-schema.ts';
import { convertUiWorkflow } from '../host/ui-to-api.ts';
import { readWorkflowFile } from '../host/workflow-file.ts';
import { allNodes } from '../nodes/all-nodes.ts';
import { readError } from '../trainer/files/read-error.ts';
import { examples, type Io } from './io.ts';

interface ConvertOptions {
  readonly objectInfo?: string;
}

/** Adds the command to the program. */
export function addConvertCommand(program: Command, io: Io): void {
  program
    .command('convert')
    .description(
      'Print the API form of a workflow as ComfyUI executes it, made as its front end does when Run is pressed.',
    )
    .argument('<file>', 'workflow JSON of either form, or a PNG that carries one')
    .option(
      '--object-info <FILE>',
      'definitions of nodes: what a ComfyUI answers to GET /object_info (default: the nodes of Flowstep)',
    )
    .addHelpText(
      'before',
      examples(
        'flowstep convert workflows/fgm-2d.json > fgm-2d.api.json',
        'curl -s http://127.0.0.1:8188/object_info > object_info.json',
        'flowstep convert text2img.json --object-info object_info.json',
      ),
    )
    .action((file: string, options: ConvertOptions) => convert(file, options, io));
}

async function convert(file: string, { objectInfo }: ConvertOptions, io: Io): Promise<void> {
  const { json } = await readWorkflowFile(file, parseLossless);
  if (!isUiWorkflow(json)) {
    io.stdout.write(`${stringifyLossless(readApiWorkflow(json, file))}\n`);
    return;
  }
  const types = objectInfo === undefined ? registryTypes(allNodes()) : await readTypes(objectInfo);
  const { api, missing } = convertUiWorkflow(json, types, file);
  io.stdout.write(`${stringifyLossless(api)}\n`);
  for (const [node, type] of missing) {
    io.log.line(`node ${node}: there is no node ${type}; it is written without its class_type`);
  }
  if (missing.size > 0 && objectInfo === undefined) {
    io.log.line('hint: --object-info FILE brings the definitions of other nodes.');
  }
}

async function readTypes(file: string): Promise<NodeTypes> {
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    throw readError(file, error);
  });
  try {
    return readObjectInfo(parseLossless(text), file);
  } catch (cause) {
    if (cause instanceof FlowstepError) throw cause;
    const message = `${file} is not JSON: ${(cause as Error).message}`;
    throw new FlowstepError('FILE_FORMAT', message, { file, cause });
  }
}
