/** @file The nodes that exist, by id. */
import type { NodeDefinition } from '../bridge/protocol/node-definition.ts';
import { bug } from '../errors.ts';
import type { FlowNode } from './define-node.ts';

export interface NodeRegistry {
  /** In the order of registration. */
  list(): readonly NodeDefinition[];
  find(id: string): FlowNode | undefined;
}

/** A registry of the given nodes; two nodes of one id are a bug. */
export function createRegistry(nodes: readonly FlowNode[]): NodeRegistry {
  const byId = new Map<string, FlowNode>();
  for (const node of nodes) {
    const { id } = node.definition;
    if (byId.has(id)) throw bug(`two nodes have the id ${id}`);
    byId.set(id, node);
  }
  const definitions = nodes.map((node) => node.definition);
  return { list: () => definitions, find: (id) => byId.get(id) };
}
