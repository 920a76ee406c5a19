/** @file The metadata of a model file: ModelSpec 1.0.1 (https://github.com/Stability-AI/ModelSpec) and keys of our own. */
import { FlowstepError } from '../../errors.ts';
import { sampleShape } from '../nn/config.ts';
import { type ModelInfo, ModelInfoSchema } from './model.ts';
import { makesPictures, modelDescription, modelTitle, samplingAdvice } from './model-words.ts';

export const INFO_KEY = 'flowstep.model';
const FORMAT_KEY = 'flowstep.format';
const FORMAT = '1';
/** Of all tensor data, `0x` before it. */
export const HASH_KEY = 'modelspec.hash_sha256';

/**
 * The metadata of the model's file. There is no date in it: the same run gives the same bytes.
 * `tensorHash` is the sha256 of the data section, hexadecimal.
 */
export function modelMetadata(info: ModelInfo, tensorHash: string): Record<string, string> {
  const { network, role, student } = info;
  const [, height, width] = sampleShape(network);
  // Files are renamed, so the hint names none.
  const advice = samplingAdvice(info, 'FILE');
  return {
    ...infoMetadata(info),
    'modelspec.sai_model_spec': '1.0.1',
    // A name of our own, so that no program takes it for an architecture that it knows; a student
    // is another class of model than its teacher, as inference differs.
    'modelspec.architecture': `flowstep-${network.kind}-v1${role === 'student' ? '-student' : ''}`,
    'modelspec.implementation': 'flowstep',
    'modelspec.title': modelTitle(info),
    'modelspec.description': modelDescription(info),
    'modelspec.usage_hint': `${advice.nodes.replaceAll('**', '')}; or: ${advice.command}`,
    ...(makesPictures(network) && { 'modelspec.resolution': `${width}x${height}` }),
    'modelspec.prediction_type': 'velocity',
    // 0 is data, 1 is noise; a student knows nothing of other times than those of its grid.
    ...(student && { 'modelspec.timestep_range': `${student.grid.at(-1)},${student.grid[0]}` }),
    [HASH_KEY]: `0x${tensorHash}`,
  };
}

/** The keys of our own. */
export function infoMetadata(info: ModelInfo): Record<string, string> {
  return { [FORMAT_KEY]: FORMAT, [INFO_KEY]: JSON.stringify(info) };
}

/** What the metadata say the model is; throws MODEL_INVALID naming the file and what is wrong. */
export function parseModelInfo(
  file: string,
  metadata: Readonly<Record<string, string>>,
): ModelInfo {
  const text = metadata[INFO_KEY];
  const format = metadata[FORMAT_KEY];
  if (text === undefined) {
    throw invalid(`${file} is not a Flowstep model: no key ${INFO_KEY}`, {
      file,
      hint: 'load a file that Save Flow Model or a training node wrote',
    });
  }
  if (format !== FORMAT) {
    throw invalid(`${file} has model format ${format}, not ${FORMAT}`, {
      file,
      hint: 'use the version of flowstep that wrote it',
    });
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw invalid(`${file}: ${INFO_KEY} is not JSON`, { file, cause });
  }
  const parsed = ModelInfoSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const issues = parsed.error.issues.map(({ message, path }) => ({
    message,
    field: path.join('.'),
  }));
  const what = issues.map((i) => `${i.field}: ${i.message}`).join('; ');
  throw invalid(`${file}: ${INFO_KEY}: ${what}`, { file, issues });
}

function invalid(message: string, details: FlowstepError['details']): FlowstepError {
  return new FlowstepError('MODEL_INVALID', message, details);
}
