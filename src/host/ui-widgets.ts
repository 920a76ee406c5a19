/** @file Which input each entry of `widgets_values` belongs to. The file does not say: it follows from the node's definition. */
import {
  type InputDefinition,
  isWidgetType,
  type NodeDefinition,
} from '../bridge/protocol/node-definition.ts';
import type { UiNode, UiSlot } from './ui-schema.ts';

/** The front end adds a "control after generate" widget to integers of these names unless told not to. */
const SEED_NAMES = ['seed', 'noise_seed'];

function hasControlWidget(input: InputDefinition): boolean {
  return input.type === 'INT' && (input.controlAfterGenerate ?? SEED_NAMES.includes(input.name));
}

/** Values of the node's widgets by input name; widgets that the file does not reach keep their defaults. */
export function widgetValues(node: UiNode, definition: NodeDefinition): Record<string, unknown> {
  const saved = node.widgets_values ?? [];
  const widgets = definition.inputs.filter((input) => isWidgetType(input.type));
  const values: Record<string, unknown> = {};
  let next = 0;
  for (const widget of widgets) {
    const value = Array.isArray(saved) ? saved[next] : saved[widget.name];
    next += hasControlWidget(widget) ? 2 : 1;
    const known = value ?? widget.default;
    if (known !== undefined) values[widget.name] = known;
  }
  return values;
}

/**
 * The node's sockets as the front end has them at run time: plain inputs first, then one per
 * widget. Files leave unlinked widget sockets out, but bypassing goes by these positions.
 */
export function runtimeSockets(node: UiNode, definition: NodeDefinition | undefined): UiSlot[] {
  const saved = node.inputs ?? [];
  if (!definition) return saved;
  const isWidget = (input: InputDefinition) => isWidgetType(input.type);
  const ordered = [
    ...definition.inputs.filter((input) => !isWidget(input)),
    ...definition.inputs.filter(isWidget),
  ];
  return ordered.map((input) => {
    const slot = saved.find((candidate) => candidate.name === input.name);
    return { name: input.name, type: input.type, link: slot?.link };
  });
}
