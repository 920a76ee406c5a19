/** @file The widgets and sockets that the front end gives a node: they follow from its definition, and the file holds their values by position. */
import {
  type InputGroups,
  InputGroupsSchema,
  type InputInfo,
  type InputOptions,
  type NodeInfo,
} from './object-info.ts';
import type { UiNode } from './ui-schema.ts';

export interface Socket {
  readonly name: string;
  readonly type: unknown;
  readonly link: number | undefined;
}

export interface Widget {
  readonly value: unknown;
  readonly type: string;
  /** Comments and {a|b} choices in the text are resolved when the graph is queued. */
  readonly dynamicPrompts: boolean;
  /** Entries of `widgets_values` that it takes: its own and those of its controls. */
  readonly entries: number;
}

/** A node as the front end has it after loading. */
export interface Controls {
  /** Plain inputs first, then one for each widget: bypassing goes by these positions. */
  readonly sockets: readonly Socket[];
  /** By name, in order. */
  readonly widgets: ReadonlyMap<string, Widget>;
}

/** Types for which the front end makes a widget; all others only come through a link. */
const WIDGET_TYPES: ReadonlySet<string> = new Set([
  ...[
    'INT',
    'FLOAT',
    'BOOLEAN',
    'STRING',
    'COMBO',
    'COMFY_DYNAMICCOMBO_V3',
    'MARKDOWN',
    'TEXTAREA',
  ],
  ...['COLOR', 'BOUNDING_BOX', 'CURVE', 'RANGE', 'CHART', 'GALLERIA', 'PAINTER', 'IMAGECOMPARE'],
]);

/** The front end adds a "control after generate" widget to integers of these names unless told not to. */
const SEED_NAMES: ReadonlySet<string> = new Set(['seed', 'noise_seed']);

/** Their sampler names once began with "sample_". */
const OLD_SAMPLERS: ReadonlySet<string> = new Set(['KSampler', 'KSamplerAdvanced']);

/** Widgets and sockets of a node whose type is installed. */
export function readControls(node: UiNode, info: NodeInfo): Controls {
  const inputs = orderedInputs(info);
  const saved = savedValues(node, inputs);
  const plain: string[] = [];
  const types = new Map<string, string>();
  const widgets = new Map<string, Widget>();

  /** A dynamic combo adds inputs right behind itself while values are read. */
  function visit(name: string, { type, options }: InputInfo): void {
    if (type === 'COMFY_AUTOGROW_V3') {
      const rows = (node.inputs ?? []).filter((slot) => slot.name.startsWith(`${name}.`));
      for (const row of rows) plain.push(row.name);
      return;
    }
    const socket = type === 'COMFY_MATCHTYPE_V3' ? (options.template?.allowed_types ?? '*') : type;
    types.set(name, socket);
    const widgetType = options.widgetType ?? socket;
    if (options.forceInput || !WIDGET_TYPES.has(widgetType)) {
      plain.push(name);
      return;
    }
    const entries = 1 + controlCount(name, widgetType, options);
    const value = repaired(node.type, name, saved.take(name, entries), widgetType, options);
    const dynamicPrompts = options.dynamicPrompts === true;
    widgets.set(name, { value, type: widgetType, dynamicPrompts, entries });
    if (widgetType === 'COMFY_DYNAMICCOMBO_V3') {
      for (const [child, input] of optionInputs(options, value)) visit(`${name}.${child}`, input);
    }
  }
  for (const [name, input] of inputs) visit(name, input);

  const names = [...new Set([...plain, ...widgets.keys()])];
  // Packs add inputs in the browser that no definition names.
  const added = (node.inputs ?? []).filter(({ name }) => !names.includes(name));
  return {
    widgets,
    sockets: [...names, ...added.map((slot) => slot.name)].map((name) => {
      const slot = node.inputs?.find((candidate) => candidate.name === name);
      const isOpen = (types.get(name) ?? '*').startsWith('*');
      const type = isOpen ? (slot?.type ?? types.get(name)) : types.get(name);
      return { name, type, link: slot?.link ?? undefined };
    }),
  };
}

/** A node whose type is not installed keeps its sockets, and its values without names. */
export function unknownControls(node: UiNode): Controls {
  const values = node.widgets_values ?? [];
  const named = Array.isArray(values)
    ? values.map((value, i) => [i === 0 ? 'UNKNOWN' : `UNKNOWN_${i}`, value] as const)
    : Object.entries(values);
  return {
    sockets: savedSockets(node),
    widgets: new Map(
      named.map(([name, value]) => [
        name,
        { value, type: 'UNKNOWN', dynamicPrompts: false, entries: 1 },
      ]),
    ),
  };
}

/** The sockets as the file has them. */
export function savedSockets(node: UiNode): Socket[] {
  return (node.inputs ?? []).map(({ name, type, link }) => ({
    name,
    type,
    link: link ?? undefined,
  }));
}

function orderedInputs(info: NodeInfo): [string, InputInfo][] {
  return (['required', 'optional'] as const).flatMap((group) => {
    const inputs = info.input?.[group] ?? {};
    const names = [...(info.input_order?.[group] ?? []), ...Object.keys(inputs)];
    return [...new Set(names)].flatMap((name): [string, InputInfo][] => {
      const input = inputs[name];
      return input ? [[name, input]] : [];
    });
  });
}

interface SavedValues {
  /** The next value, or NONE when the file has no more. */
  take(name: string, entries: number): unknown;
}

const NONE = Symbol('no saved value');

function savedValues(node: UiNode, inputs: readonly [string, InputInfo][]): SavedValues {
  const values = node.widgets_values ?? [];
  if (!Array.isArray(values)) {
    return { take: (name) => (Object.hasOwn(values, name) ? values[name] : NONE) };
  }
  const list = withoutForced(values, inputs);
  let next = 0;
  return {
    take: (_, entries) => {
      const value = next < list.length ? list[next] : NONE;
      next += entries;
      return value;
    },
  };
}

/** Files of 2025 and before also hold values of inputs that are sockets only; the count tells them. */
function withoutForced(values: unknown[], inputs: readonly [string, InputInfo][]): unknown[] {
  const isForced = inputs
    .filter(([, { type, options }]) => options.forceInput || WIDGET_TYPES.has(type))
    .flatMap(([, { options }]) => {
      const forced = options.forceInput === true;
      return options.control_after_generate ? [forced, false] : [forced];
    });
  return isForced.length === values.length ? values.filter((_, i) => !isForced[i]) : values;
}

/** A seed has a mode behind it; a combo with control has a mode and a filter. */
function controlCount(
  name: string,
  type: string,
  { control_after_generate }: InputOptions,
): number {
  if (type === 'COMBO') return control_after_generate ? 2 : 0;
  if (type === 'FLOAT') return control_after_generate ? 1 : 0;
  if (type !== 'INT') return 0;
  return (control_after_generate ?? SEED_NAMES.has(name)) ? 1 : 0;
}

/** The saved value as the front end corrects it, or the widget's first value. */
function repaired(
  nodeType: string,
  name: string,
  saved: unknown,
  type: string,
  options: InputOptions,
): unknown {
  const choices = choicesOf(type, options);
  if (saved === NONE) return options.default ?? emptyValue(type, choices);
  // A model that is not there is null, and stays so where there is nothing to choose.
  if (saved === null && choices) return choices[0] ?? null;
  const isOldSampler = OLD_SAMPLERS.has(nodeType) && name === 'sampler_name';
  return isOldSampler && typeof saved === 'string' ? saved.replace(/^sample_/, '') : saved;
}

function choicesOf(type: string, { options }: InputOptions): readonly unknown[] | undefined {
  if (type === 'COMBO') return options ?? [];
  if (type !== 'COMFY_DYNAMICCOMBO_V3') return undefined;
  return (options ?? []).map((option) => (option as { key?: unknown } | null)?.key);
}

function emptyValue(type: string, choices: readonly unknown[] | undefined): unknown {
  if (choices) return choices[0];
  if (type === 'INT' || type === 'FLOAT') return 0;
  if (type === 'BOOLEAN') return false;
  return type === 'STRING' ? '' : undefined;
}

/** What the chosen option of a dynamic combo adds. */
function optionInputs({ options }: InputOptions, chosen: unknown): [string, InputInfo][] {
  const option = (options ?? []).find((o) => (o as { key?: unknown } | null)?.key === chosen);
  const inputs = InputGroupsSchema.safeParse((option as { inputs?: unknown } | undefined)?.inputs);
  const groups: InputGroups = inputs.success ? inputs.data : {};
  return Object.entries({ ...groups.required, ...groups.optional });
}
