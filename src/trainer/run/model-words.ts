/** @file What a model is and how it is sampled, in words: for its metadata, its card and `flowstep inspect`. */
import { z } from 'zod';
import { classCount, type NetworkConfig, sampleShape, textWidths } from '../nn/config.ts';
import { type ModelInfo, UNKNOWN_DATASET } from './model.ts';

/** For example "One-step student on fashion-mnist/train". */
export function modelTitle(info: ModelInfo): string {
  const of = info.lora?.file === undefined ? '' : ` of ${info.lora.file}`;
  return roleTitle(info) + (isKnown(info) ? ` on ${info.dataset.name}` : of);
}

function roleTitle({ role, student, lora }: ModelInfo): string {
  switch (role) {
    case 'teacher':
      return 'Flow teacher';
    case 'online':
      return 'Online flow';
    case 'student':
      return `${stepsOf(student) === 1 ? 'One' : stepsOf(student)}-step ${lora ? 'LoRA' : 'student'}`;
  }
}

/** Nobody knows what released models were trained on. */
const isKnown = ({ dataset }: ModelInfo) => dataset.name !== UNKNOWN_DATASET;

function stepsOf(student: ModelInfo['student']): number {
  return student?.grid.length ?? 1;
}

/** One or two sentences without line breaks. */
export function modelDescription(info: ModelInfo): string {
  const what = samplesInWords(info.network);
  const of = isKnown(info) ? ` trained on ${info.dataset.name}` : '';
  switch (info.role) {
    case 'teacher':
      return `A flow matching model of ${what}${of && `,${of}`}. It is sampled in many steps, or distilled into a student.`;
    case 'online':
      return `The flow that followed a student of ${what} while Flow Generator Matching distilled it from a teacher${of}.`;
    case 'student':
      return `Makes ${what} in ${evaluations(stepsOf(info.student))}. Distilled by Flow Generator Matching (arXiv 2410.19310) from a flow matching teacher${of}.`;
  }
}

function evaluations(count: number): string {
  return count === 1 ? 'one network evaluation' : `${count} network evaluations`;
}

/** A command that samples the file of that name, and the nodes that do. */
export function samplingAdvice(info: ModelInfo, file: string): { command: string; nodes: string } {
  const { lora, network, role } = info;
  const parts = [
    'flowstep sample',
    ...(lora
      ? [`--model ${quoted(lora.file ?? 'BASE.safetensors')}`, `--lora ${quoted(file)}`]
      : [`--model ${quoted(file)}`]),
    ...(textWidths(network) ? [`--prompts ${quoted(promptsOf(info))}`] : []),
    `--count 16 --seed 1 --out ${isShown(network) ? 'samples.png' : 'samples.safetensors'}`,
  ];
  const load = lora ? '**Load Flow Model** with this file as its `lora`' : '**Load Flow Model**';
  const sampler = role === 'student' ? 'One-Step Sampler' : 'Flow Sampler';
  return { command: parts.join(' '), nodes: `${load}, then **${sampler}**` };
}

/** A name with blanks or quotes must survive being copied into a shell. */
function quoted(name: string): string {
  return /^[\w./-]+$/.test(name) ? name : `'${name.replaceAll("'", "'\\''")}'`;
}

/** Those that it was trained with. */
function promptsOf({ training }: ModelInfo): string {
  const parsed = z.object({ name: z.string() }).safeParse(training['prompts']);
  return parsed.success ? parsed.data.name : 'PROMPTS.safetensors';
}

/** True for pictures: samples of one channel (grey) or three (colour). */
export function makesPictures(network: NetworkConfig): boolean {
  const [channels, ...sides] = sampleShape(network);
  return sides.length === 2 && (channels === 1 || channels === 3);
}

function isShown(network: NetworkConfig): boolean {
  const [dim, ...rest] = sampleShape(network);
  return makesPictures(network) || (rest.length === 0 && dim === 2);
}

function samplesInWords(network: NetworkConfig): string {
  const classes = classCount(network);
  const inClasses = classes > 0 ? ` in ${classes} classes` : '';
  const [first, height, width] = sampleShape(network);
  if (height === undefined) {
    return `${first === 2 ? 'points in the plane' : `vectors of ${first} numbers`}${inClasses}`;
  }
  if (!makesPictures(network)) return `latents of ${first} x ${height} x ${width}${inClasses}`;
  return `${first === 1 ? 'grey' : 'colour'} pictures of ${width} x ${height}${inClasses}`;
}
