/** @file From the front end's form to the API form, as ComfyUI's own front end converts when Run is pressed. */
import { FlowstepError, type Issue } from '../errors.ts';
import type { NodeRegistry } from '../nodes/registry.ts';
import type { ApiWorkflow } from './api-workflow.ts';
import { createResolver, MODE_BYPASSED, MODE_MUTED } from './ui-resolve.ts';
import { readUiWorkflow, type UiGraph, type UiNode } from './ui-schema.ts';
import { widgetValues } from './ui-widgets.ts';

/** Nodes that only the front end knows; they never reach the API form. */
const VIRTUAL_TYPES = new Set(['Reroute', 'PrimitiveNode', 'Note', 'MarkdownNote']);

/** Converts; everything that cannot be converted is reported at once. */
export function convertUiWorkflow(
  json: unknown,
  registry: NodeRegistry,
  file: string,
): ApiWorkflow {
  const graph = readUiWorkflow(json, file);
  const resolver = createResolver(graph, registry);
  const issues: Issue[] = [];
  const api: ApiWorkflow = {};
  for (const [id, node] of graph.nodes) {
    if (!isExecuted(node)) continue;
    if (isSubgraph(node, graph)) {
      issues.push({ node: id, message: 'subgraphs are not supported: unpack it in ComfyUI first' });
      continue;
    }
    const definition = registry.find(node.type)?.definition;
    const inputs = definition ? widgetValues(node, definition) : {};
    for (const slot of node.inputs ?? []) {
      const found = resolver.resolveInput(slot);
      if (found.kind === 'broken') issues.push({ node: id, field: slot.name, message: found.why });
      if (found.kind === 'link') inputs[slot.name] = [found.node, found.slot];
      if (found.kind === 'constant') inputs[slot.name] = found.value;
    }
    const title = node.title ?? definition?.displayName ?? node.type;
    api[id] = { class_type: node.type, inputs, _meta: { title } };
  }
  if (issues.length > 0) {
    throw new FlowstepError('WORKFLOW_INVALID', `${file} cannot be converted`, { file, issues });
  }
  return api;
}

function isExecuted(node: UiNode): boolean {
  return !VIRTUAL_TYPES.has(node.type) && node.mode !== MODE_MUTED && node.mode !== MODE_BYPASSED;
}

/** Today's subgraphs, and the group nodes that came before them. */
function isSubgraph(node: UiNode, graph: UiGraph): boolean {
  return graph.subgraphs.has(node.type) || /^workflow[>/]/.test(node.type);
}
