/** @file Reads option values of commands. */
import { InvalidArgumentError } from 'commander';

/** An argument parser for whole numbers from `min` to `max`. */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^-?\d+$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`);
  };
}

/** An argument parser for numbers from `min` to `max`. */
export function realNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = text.trim() === '' ? Number.NaN : Number(text);
    if (value >= min && value <= max) return value;
    throw new InvalidArgumentError(`It must be a number from ${min} to ${max}.`);
  };
}

/** Collects an option that may be given several times. */
export function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value];
}

/** Of commands that may run models that take text. */
export const PROMPTS_OPTION = [
  '--prompts <FILE>',
  'for models that take text: embeddings from Flow Prompt Set',
] as const;
