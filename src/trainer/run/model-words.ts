/** @file What a model is and how it is sampled, in words: for its metadata, its card and `flowstep inspect`. */
import { classCount, type NetworkConfig, sampleShape } from '../nn/config.ts';
import type { ModelInfo } from './model.ts';

/** For example "One-step student on fashion-mnist/train". */
export function modelTitle(info: ModelInfo): string {
  return `${roleTitle(info)} on ${info.dataset.name}`;
}

function roleTitle({ role, student }: ModelInfo): string {
  switch (role) {
    case 'teacher':
      return 'Flow teacher';
    case 'online':
      return 'Online flow';
    case 'student':
      return `${stepsOf(student) === 1 ? 'One' : stepsOf(student)}-step student`;
  }
}

function stepsOf(student: ModelInfo['student']): number {
  return student?.grid.length ?? 1;
}

/** One or two sentences without line breaks. */
export function modelDescription(info: ModelInfo): string {
  const what = samplesInWords(info.network);
  const of = `trained on ${info.dataset.name}`;
  switch (info.role) {
    case 'teacher':
      return `A flow matching model of ${what}, ${of}. It is sampled in many steps, or distilled into a student.`;
    case 'online':
      return `The flow that followed a student of ${what} while Flow Generator Matching distilled it from a teacher ${of}.`;
    case 'student':
      return `Makes ${what} in ${evaluations(stepsOf(info.student))}. Distilled by Flow Generator Matching (arXiv 2410.19310) from a flow matching teacher ${of}.`;
  }
}

function evaluations(count: number): string {
  return count === 1 ? 'one network evaluation' : `${count} network evaluations`;
}

/** A command that samples the file of that name, and the node that does. */
export function samplingAdvice(info: ModelInfo, file: string): { command: string; node: string } {
  const out = isShown(info.network) ? 'samples.png' : 'samples.safetensors';
  // A name with blanks or quotes must survive being copied into a shell.
  const name = /^[\w./-]+$/.test(file) ? file : `'${file.replaceAll("'", "'\\''")}'`;
  return {
    command: `flowstep sample --model ${name} --count 16 --seed 1 --out ${out}`,
    node: info.role === 'student' ? 'One-Step Sampler' : 'Flow Sampler',
  };
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
