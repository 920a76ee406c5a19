/** @file The scales of float8 weights, as ComfyUI's scaled checkpoints have them beside each weight. */
import type { SafetensorsHeader } from './safetensors-header.ts';

/** Tensors that belong to a float8 weight; `weight` multiplies it, the others are for kernels that we do not use. */
export interface ScaleNames {
  readonly weight?: string;
  readonly input?: string;
  readonly description?: string;
}

const WEIGHT = '.weight';

/** Ends of the names, the older form first. */
const ENDS = {
  weight: ['.scale_weight', '.weight_scale'],
  input: ['.scale_input', '.input_scale'],
  description: ['.comfy_quant'],
} as const;

/** The scales of a weight, or undefined where it has none. */
export function scaleNames({ tensors }: SafetensorsHeader, weight: string): ScaleNames | undefined {
  if (!weight.endsWith(WEIGHT)) return undefined;
  const layer = weight.slice(0, -WEIGHT.length);
  const found = Object.entries(ENDS).flatMap(([role, ends]) => {
    const name = ends.map((end) => layer + end).find((candidate) => tensors.has(candidate));
    return name === undefined ? [] : [[role, name] as const];
  });
  return found.length === 0 ? undefined : Object.fromEntries(found);
}

/** What is wrong with scales: only one number for a whole weight is read. */
export function checkScales(
  { weight }: ScaleNames,
  sizeOfScale: (name: string) => number,
): string[] {
  if (weight === undefined) return [];
  const size = sizeOfScale(weight);
  return size === 1 ? [] : [`${weight} has ${size} numbers: only one scale for a weight is read`];
}
