/**
 * @file `npm run nodes:json`: writes comfyui/nodes.json, from which the Python shim makes ComfyUI's node classes.
 *
 * Nodes that ComfyUI has itself, under the same id, are left out: it runs its own.
 */
import { fileURLToPath } from 'node:url';
import type { NodeDefinition } from '../src/bridge/protocol/node-definition.ts';
import { allNodes } from '../src/nodes/all-nodes.ts';
import { atomicWrite } from '../src/trainer/files/atomic-write.ts';

/** Every id of ours that ComfyUI does not know starts with it. */
const OUR_PREFIX = 'Flowstep';

export const NODES_FILE = fileURLToPath(new URL('../comfyui/nodes.json', import.meta.url));

/** The text of the file as it should be. */
export function nodesJson(): string {
  const ours = allNodes()
    .list()
    .filter((node: NodeDefinition) => node.id.startsWith(OUR_PREFIX));
  return `${JSON.stringify(ours, null, 2)}\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await atomicWrite(NODES_FILE, [new TextEncoder().encode(nodesJson())]);
}
