/** @file Checks input values against a node's schema and says what is wrong in plain words. */
import type { z } from 'zod';
import type { Issue } from '../errors.ts';

type ZodIssue = z.core.$ZodIssue;

function shown(value: unknown): string {
  // A link's value can be a tensor of millions of numbers.
  if (typeof value === 'object' && value !== null)
    return Array.isArray(value) ? 'a list' : 'an object';
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

function typeName(expected: string): string {
  return expected === 'int' ? 'a whole number' : `a ${expected}`;
}

function describe(issue: ZodIssue, value: unknown): string {
  switch (issue.code) {
    case 'too_small':
      if (issue.origin === 'string' || issue.origin === 'array') return 'must not be empty';
      return `must be at least ${issue.minimum}, not ${shown(value)}`;
    case 'too_big':
      return `must be at most ${issue.maximum}, not ${shown(value)}`;
    case 'invalid_type':
      return `must be ${typeName(issue.expected)}, not ${shown(value)}`;
    case 'invalid_value':
      return `must be one of ${issue.values.map(String).join(', ')}, not ${shown(value)}`;
    default:
      return issue.message;
  }
}

/** What stands at a place within a value. */
function at(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce((v, key) => (v as Record<PropertyKey, unknown> | undefined)?.[key], value);
}

/** As in JavaScript: samples, batch_index[1]. */
function placeName(path: readonly PropertyKey[]): string {
  const names = path.map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`));
  return names.join('').replace(/^\./, '');
}

/** What is wrong with one value; empty when nothing is. */
export function checkValue(schema: z.ZodType, value: unknown): string[] {
  const result = schema.safeParse(value);
  if (result.success) return [];
  return result.error.issues.map((issue) => {
    const message = describe(issue, at(value, issue.path));
    return issue.path.length > 0 ? `${placeName(issue.path)} ${message}` : message;
  });
}

/** What is wrong with the values that a node is about to run with, all at once. */
export function checkInputs(
  inputs: z.ZodObject,
  values: Readonly<Record<string, unknown>>,
): Issue[] {
  return Object.entries(inputs.shape).flatMap(([field, schema]) => {
    const value = values[field];
    if (value === undefined && !(schema as z.ZodType).safeParse(undefined).success) {
      return [{ field, message: 'is missing' }];
    }
    return checkValue(schema as z.ZodType, value).map((message) => ({ field, message }));
  });
}
