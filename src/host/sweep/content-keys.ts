/** @file Hashes of what nodes of a workflow will give: of their inputs and of all that they are linked to, whatever their ids. */
import { bug } from '../../errors.ts';
import { runInputs } from '../../nodes/common-inputs.ts';
import type { FlowNode } from '../../nodes/define-node.ts';
import type { NodeContext, Roots } from '../../nodes/node-context.ts';
import type { NodeRegistry } from '../../nodes/registry.ts';
import { canonicalJson } from '../../trainer/files/canonical-json.ts';
import { sha256 } from '../../trainer/files/hash.ts';
import type { Workflow, WorkflowNode } from '../workflow.ts';

/** Where a run is kept and what it shows on the way do not change its numbers. */
const WITHOUT_EFFECT: ReadonlySet<string> = new Set(Object.keys(runInputs));

/** Fingerprints of nodes that read files: rows have most of them in common. */
export class Fingerprints {
  readonly #known = new Map<string, Promise<string | undefined>>();
  readonly #context: NodeContext;

  constructor(roots: Roots, signal: AbortSignal) {
    this.#context = { roots, signal, onProgress: () => undefined };
  }

  /** Of a node with these values, and links at its other inputs; throws what the node throws when a file is not there. */
  of(kind: FlowNode, values: Readonly<Record<string, unknown>>): Promise<string | undefined> {
    const key = canonicalJson([kind.definition.id, values]);
    const known = this.#known.get(key) ?? kind.fingerprint(values, this.#context);
    this.#known.set(key, known);
    return known;
  }
}

/** Hash by id of each node of a valid workflow. */
export async function contentKeys(
  workflow: Workflow,
  registry: NodeRegistry,
  fingerprints: Fingerprints,
): Promise<Map<string, string>> {
  const keys = new Map<string, string>();
  const keyOf = async (node: WorkflowNode): Promise<string> => {
    const known = keys.get(node.id);
    if (known !== undefined) return known;
    const kind = registry.find(node.type);
    if (!kind) throw bug(`node ${node.id} was not validated`);
    const inputs: Record<string, unknown> = {};
    for (const { name, default: standard } of kind.definition.inputs) {
      if (WITHOUT_EFFECT.has(name)) continue;
      const input = node.inputs[name];
      if (input?.kind === 'link') {
        const source = workflow.get(input.link.node);
        if (!source) throw bug(`node ${node.id} was not validated`);
        inputs[name] = { from: await keyOf(source), slot: input.link.slot };
      } else {
        // A default that changes in a later version changes what the node gives.
        inputs[name] = input ? { value: input.value } : { value: standard };
      }
    }
    // What a linked value names is in the content of the link.
    const fingerprint = await fingerprints.of(kind, constants(node));
    const key = sha256(canonicalJson({ type: node.type, inputs, fingerprint }));
    keys.set(node.id, key);
    return key;
  };
  for (const node of workflow.values()) await keyOf(node);
  return keys;
}

function constants(node: WorkflowNode): Record<string, unknown> {
  const entries = Object.entries(node.inputs);
  return Object.fromEntries(
    entries.flatMap(([name, input]) => (input.kind === 'constant' ? [[name, input.value]] : [])),
  );
}
