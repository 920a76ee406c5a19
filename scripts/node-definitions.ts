/**
 * @file `npm run nodes:json`: writes comfyui/nodes.json, from which the Python shim makes ComfyUI's node classes.
 *
 * Nodes that ComfyUI has itself, under the same id, are left out: it runs its own.
 */
import { fileURLToPath } from 'node:url';
import type { NodeDefinition } from '../src/bridge/protocol/node-definition.ts';
import { objectInfo } from '../src/host/object-info.ts';
import { allNodes } from '../src/nodes/all-nodes.ts';
import { atomicWrite } from '../src/trainer/files/atomic-write.ts';

/** Every id of ours that ComfyUI does not know starts with it. */
const OUR_PREFIX = 'Flowstep';

export const NODES_FILE = fileURLToPath(new URL('../comfyui/nodes.json', import.meta.url));

/** The text of the file as it should be. */
export function nodesJson(): string {
  const registry = allNodes();
  const ours = registry.list().filter((node) => node.id.startsWith(OUR_PREFIX));
  const classes = Object.fromEntries(
    ours.map((node) => [node.id, classOf(node, registry.find(node.id)?.readsFiles ?? false)]),
  );
  return `${JSON.stringify(classes, null, 2)}\n`;
}

/** What ComfyUI looks for on a class of its node API (V1). */
function classOf(node: NodeDefinition, readsFiles: boolean) {
  const info = objectInfo(node);
  return {
    displayName: info.display_name,
    inputs: info.input,
    /** Whether the server is asked if they have changed. */
    readsFiles,
    attributes: {
      RETURN_TYPES: info.output,
      RETURN_NAMES: info.output_name,
      OUTPUT_TOOLTIPS: info.output_tooltips,
      OUTPUT_NODE: info.output_node,
      CATEGORY: info.category,
      DESCRIPTION: info.description,
      SEARCH_ALIASES: info.search_aliases,
    },
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await atomicWrite(NODES_FILE, [new TextEncoder().encode(nodesJson())]);
}
