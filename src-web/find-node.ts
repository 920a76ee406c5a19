/** @file Finds nodes, also in subgraphs. */
import type { ComfyGraph, ComfyNode } from './comfy.ts';

/** The node of an execution id: `7:4` is node 4 in the subgraph of node 7. */
export function findNode(root: ComfyGraph, executionId: string): ComfyNode | undefined {
  let graph: ComfyGraph | undefined = root;
  let node: ComfyNode | undefined;
  for (const id of executionId.split(':')) {
    node = graph?.getNodeById(id) ?? undefined;
    graph = node?.subgraph;
  }
  return node;
}
