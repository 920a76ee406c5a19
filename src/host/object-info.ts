/** @file What ComfyUI tells about node types (the answer of /object_info), read and written. */
import { z } from 'zod';
import {
  type InputDefinition,
  isWidgetType,
  type NodeDefinition,
} from '../bridge/protocol/node-definition.ts';
import { FlowstepError } from '../errors.ts';
import type { NodeRegistry } from '../nodes/registry.ts';

/** What decides about widgets; packs put whatever they like beside it. */
const OptionsSchema = z.looseObject({
  default: z.unknown().optional(),
  options: z.array(z.unknown()).nullish(),
  /** A socket where the type alone would make a widget. */
  forceInput: z.boolean().nullish(),
  /** The widget's type where it is not the socket's. */
  widgetType: z.string().nullish(),
  /** True, or the mode that the control begins with. */
  control_after_generate: z.union([z.boolean(), z.string()]).nullish(),
  dynamicPrompts: z.boolean().nullish(),
  template: z.looseObject({ allowed_types: z.string().nullish() }).nullish(),
});

export interface InputInfo {
  readonly type: string;
  readonly options: InputOptions;
}

export type InputOptions = z.infer<typeof OptionsSchema>;

/** [type] or [type, options]; a list in place of the type is a COMBO of the older kind. */
const InputSchema = z
  .tuple([z.union([z.string(), z.array(z.unknown())]), OptionsSchema.nullish()], z.unknown())
  .transform(([type, options]): InputInfo => {
    const known: InputOptions = options ?? {};
    return typeof type === 'string'
      ? { type, options: known }
      : { type: 'COMBO', options: { ...known, options: type } };
  });

const InputsSchema = z.record(z.string(), InputSchema);

/** Inputs of a node, or of an option of a dynamic combo. */
export const InputGroupsSchema = z.looseObject({
  required: InputsSchema.nullish(),
  optional: InputsSchema.nullish(),
});

/** Classes of both ComfyUI node APIs (V1 and V3) answer in this form. */
const NodeInfoSchema = z.looseObject({
  input: InputGroupsSchema.nullish(),
  input_order: z.record(z.string(), z.array(z.string())).nullish(),
  /** A list in place of a type is the output of a COMBO. */
  output: z.array(z.unknown()).nullish(),
  display_name: z.string().nullish(),
});

export type InputGroups = z.infer<typeof InputGroupsSchema>;
export type NodeInfo = z.infer<typeof NodeInfoSchema>;

export interface NodeTypes {
  /** Undefined for a type that is not installed; throws FILE_FORMAT when its entry is damaged. */
  find(type: string): NodeInfo | undefined;
}

/** Node types from the parsed answer of /object_info; `file` is for messages. */
export function readObjectInfo(json: unknown, file: string): NodeTypes {
  const all = z.record(z.string(), z.unknown()).safeParse(json);
  if (!all.success) {
    const hint = 'It is what a running ComfyUI answers to GET /object_info.';
    throw new FlowstepError('FILE_FORMAT', `${file} holds no node definitions`, { file, hint });
  }
  // Read when asked for: one odd pack among hundreds must not stop workflows without it.
  const find = (type: string) => {
    const entry = Object.hasOwn(all.data, type) ? all.data[type] : undefined;
    if (entry === undefined) return undefined;
    const info = NodeInfoSchema.safeParse(entry);
    if (info.success) return info.data;
    throw new FlowstepError('FILE_FORMAT', `${file}: the definition of ${type} is damaged`, {
      file,
      issues: info.error.issues.map((i) => ({ message: `${i.path.join('.')}: ${i.message}` })),
    });
  };
  return { find };
}

/** The registry's nodes in the form that ComfyUI's nodes have. */
export function registryTypes(registry: NodeRegistry): NodeTypes {
  const entries = registry.list().map((definition) => [definition.id, objectInfo(definition)]);
  return readObjectInfo(Object.fromEntries(entries), 'the node registry');
}

type InputSpec = readonly [type: string | readonly string[], options: Record<string, unknown>];

/** ComfyUI's entry for a V1 class: the oldest form, which every client reads. */
export function objectInfo(definition: NodeDefinition) {
  const { id, displayName, category, description, inputs, outputs, outputNode } = definition;
  const required = inputs.filter((input) => input.required);
  const optional = inputs.filter((input) => !input.required);
  return {
    input: { required: inputSpecs(required), optional: inputSpecs(optional) },
    input_order: { required: names(required), optional: names(optional) },
    is_input_list: false,
    output: outputs.map((output) => output.type),
    output_is_list: outputs.map(() => false),
    output_name: names(outputs),
    output_tooltips: outputs.map((output) => output.tooltip),
    name: id,
    display_name: displayName,
    description,
    category,
    python_module: 'custom_nodes.flowstep',
    output_node: outputNode,
    search_aliases: definition.searchAliases ?? [],
  };
}

function names(slots: readonly { readonly name: string }[]): string[] {
  return slots.map((slot) => slot.name);
}

function inputSpecs(inputs: readonly InputDefinition[]): Record<string, InputSpec> {
  return Object.fromEntries(inputs.map((input) => [input.name, inputSpec(input)]));
}

function inputSpec(input: InputDefinition): InputSpec {
  const { type, tooltip, min, max, step, options, controlAfterGenerate, advanced } = input;
  if (!isWidgetType(type)) return [type, { tooltip }];
  const known = {
    default: input.default,
    min,
    max,
    step,
    // The front end else rounds to the step, and learning rates are smaller than that.
    round: type === 'FLOAT' ? false : undefined,
    control_after_generate: controlAfterGenerate,
    advanced,
    tooltip,
  };
  const given = Object.entries(known).filter(([, value]) => value !== undefined);
  return [type === 'COMBO' ? (options ?? []) : type, Object.fromEntries(given)];
}
