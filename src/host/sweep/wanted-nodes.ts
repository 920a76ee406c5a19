/** @file The part of a workflow that a sweep needs, each node of which is to run. */
import type { NodeRegistry } from '../../nodes/registry.ts';
import type { Workflow } from '../workflow.ts';

/** The nodes of these ids and all that they take values from. */
export function upstreamOf(workflow: Workflow, ids: Iterable<string>): Workflow {
  const wanted = new Set<string>();
  const visit = (id: string) => {
    const node = workflow.get(id);
    if (!node || wanted.has(id)) return;
    wanted.add(id);
    for (const input of Object.values(node.inputs)) {
      if (input.kind === 'link') visit(input.link.node);
    }
  };
  for (const id of ids) visit(id);
  return new Map([...workflow].filter(([id]) => wanted.has(id)));
}

/** The same nodes, each a reason to run a workflow: models and data are measured whether or not a node writes them. */
export function everyNodeWanted(registry: NodeRegistry): NodeRegistry {
  return {
    list: () => registry.list(),
    find(id) {
      const kind = registry.find(id);
      return kind && { ...kind, definition: { ...kind.definition, outputNode: true } };
    },
  };
}
