/** @file Which nodes a run needs, in which order, and where links run in a circle. */
import type { NodeRegistry } from '../nodes/registry.ts';
import type { Workflow, WorkflowNode } from './workflow.ts';

export interface RunOrder {
  /** The output nodes and all they depend on; every node after those that it takes values from. */
  readonly nodes: readonly WorkflowNode[];
  /** Ids of nodes whose links lead back to them, one list per circle. */
  readonly cycles: readonly (readonly string[])[];
}

/** Walks from the output nodes backwards along the links; links to nothing are passed over. */
export function runOrder(workflow: Workflow, registry: NodeRegistry): RunOrder {
  const nodes: WorkflowNode[] = [];
  const cycles: string[][] = [];
  const done = new Set<string>();
  const path: string[] = [];

  function visit(node: WorkflowNode): void {
    if (done.has(node.id)) return;
    const start = path.indexOf(node.id);
    if (start >= 0) {
      const cycle = path.slice(start);
      // Two inputs that are linked to one node close the same circle twice.
      if (!cycles.some((known) => known.join() === cycle.join())) cycles.push(cycle);
      return;
    }
    path.push(node.id);
    for (const input of Object.values(node.inputs)) {
      const source = input.kind === 'link' ? workflow.get(input.link.node) : undefined;
      if (source) visit(source);
    }
    path.pop();
    done.add(node.id);
    nodes.push(node);
  }

  for (const node of workflow.values()) {
    if (registry.find(node.type)?.definition.outputNode) visit(node);
  }
  return { nodes, cycles };
}
