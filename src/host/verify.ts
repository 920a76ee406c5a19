/** @file Whether files are whole and what they say they are: the checks of `flowstep verify`. */
import sharp from 'sharp';
import { asFlowstepError, FlowstepError, type Issue } from '../errors.ts';
import { type FileKind, fileKind, meantPath } from './file-kind.ts';
import { inspectOnnx } from './inspect.ts';
import {
  inspectPicture,
  inspectWorkflow,
  type Surroundings,
  type WorkflowContents,
} from './inspect-workflow.ts';
import { type Findings, verifySafetensors } from './verify-model.ts';
import { verifyRun } from './verify-run.ts';

export interface Verification extends Findings {
  readonly file: string;
  readonly ok: boolean;
}

/** Checks one file or run folder; what is wrong is told, not thrown. */
export async function verify(path: string, around: Surroundings): Promise<Verification> {
  const file = meantPath(path);
  let kind: FileKind | 'unknown' = 'unknown';
  let findings: Findings;
  try {
    kind = await fileKind(file);
    findings = await check(file, kind, around);
  } catch (thrown) {
    const error = asFlowstepError(thrown);
    if (error.kind === 'bug') throw error;
    findings = { kind, checked: [], problems: [error.message] };
  }
  return { file, ok: findings.problems.length === 0, ...findings };
}

async function check(file: string, kind: FileKind, around: Surroundings): Promise<Findings> {
  switch (kind) {
    case 'run':
      return verifyRun(file);
    case 'safetensors':
      return verifySafetensors(file);
    case 'workflow':
      return verifyWorkflow(await inspectWorkflow(file, around));
    case 'picture':
      return verifyPicture(file, around);
    case 'onnx': {
      const { notTrainable, notLoadable } = await inspectOnnx(file);
      const checked = notTrainable === undefined ? ['graph', 'shapes', 'weights'] : ['graph'];
      return { kind, checked, problems: notLoadable === undefined ? [] : [notLoadable] };
    }
  }
}

function verifyWorkflow({ issues, models }: WorkflowContents): Findings {
  return {
    kind: 'workflow',
    checked: ['nodes, inputs and links', ...(models.length > 0 ? ['model files'] : [])],
    problems: issues.map(issueText),
  };
}

async function verifyPicture(file: string, around: Surroundings): Promise<Findings> {
  const { workflow } = await inspectPicture(file, around);
  const checked = ['checksums', 'pixels'];
  try {
    await sharp(file, { failOn: 'warning' }).stats();
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new FlowstepError('FILE_FORMAT', `its pixels cannot be read: ${why}`, { file, cause });
  }
  if (!workflow) return { kind: 'picture', checked, problems: [] };
  const { problems } = verifyWorkflow(workflow);
  return { kind: 'picture', checked: [...checked, 'workflow'], problems };
}

function issueText({ node, field, message }: Issue): string {
  const where = [node && `node ${node}`, field].filter(Boolean).join(', ');
  return where === '' ? message : `${where}: ${message}`;
}
