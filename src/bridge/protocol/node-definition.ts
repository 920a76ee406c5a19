/** @file A node as it travels: what any host of a graph must know to show it, wire it and check its inputs. */
import { z } from 'zod';

/** Types that a host edits in a widget; every other type name only comes through a link. */
export const WIDGET_TYPES = ['INT', 'FLOAT', 'STRING', 'BOOLEAN', 'COMBO'] as const;

const ConstantSchema = z.union([z.string(), z.number(), z.boolean()]);

/** What becomes of a seed after a run: it stays, or another is drawn. */
export const SEED_CONTROLS = ['fixed', 'randomize'] as const;

export const InputDefinitionSchema = z.strictObject({
  name: z.string().min(1),
  /** A widget type, or the name of the type that a link must carry (IMAGE, FLOW_MODEL...). */
  type: z.string().min(1),
  /** False when the node runs without it: it has a default, or is optional. */
  required: z.boolean(),
  tooltip: z.string().min(1),
  default: ConstantSchema.optional(),
  min: z.number().optional(),
  max: z.number().optional(),
  step: z.number().positive().optional(),
  options: z.array(z.string()).min(1).optional(),
  /** For seeds: ComfyUI's front end puts a widget "control after generate" behind the value, which starts as this. */
  controlAfterGenerate: z.enum(SEED_CONTROLS).optional(),
  /** Seldom changed: hosts may hide it until asked. */
  advanced: z.boolean().optional(),
});

export const OutputDefinitionSchema = z.strictObject({
  name: z.string().min(1),
  type: z.string().min(1),
  tooltip: z.string().min(1),
});

export const NodeDefinitionSchema = z.strictObject({
  id: z.string().min(1),
  displayName: z.string().min(1),
  category: z.string().min(1),
  description: z.string().min(1),
  /** What users may call it who search for a node, besides words of its name. */
  searchAliases: z.array(z.string().min(1)).min(1).optional(),
  /** In the order in which a host shows them: required ones first, as ComfyUI orders widgets so. */
  inputs: z.array(InputDefinitionSchema),
  /** In slot order. */
  outputs: z.array(OutputDefinitionSchema),
  /** True when the node is a reason to run a graph (it writes something). */
  outputNode: z.boolean(),
});

export type InputDefinition = z.infer<typeof InputDefinitionSchema>;
export type OutputDefinition = z.infer<typeof OutputDefinitionSchema>;
export type NodeDefinition = z.infer<typeof NodeDefinitionSchema>;

/** True when a host shows a widget for the type; false when only a link can give the value. */
export function isWidgetType(type: string): boolean {
  return (WIDGET_TYPES as readonly string[]).includes(type);
}
