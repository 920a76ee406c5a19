/** @file Follows a link of the front end's form back to the node that really gives the value, through reroutes and bypassed nodes. */
import type { NodeRegistry } from '../nodes/registry.ts';
import type { UiGraph, UiNode, UiSlot } from './ui-schema.ts';
import { runtimeSockets } from './ui-widgets.ts';

/** Values of a node's `mode`. */
export const MODE_MUTED = 2;
export const MODE_BYPASSED = 4;

export type Resolved =
  | { readonly kind: 'link'; readonly node: string; readonly slot: number }
  | { readonly kind: 'constant'; readonly value: unknown }
  /** Nothing is connected, or what is connected is muted. */
  | { readonly kind: 'nothing' }
  | { readonly kind: 'broken'; readonly why: string };

const NOTHING: Resolved = { kind: 'nothing' };

export interface Resolver {
  /** What reaches an input of a node. */
  resolveInput(slot: UiSlot): Resolved;
}

/** A resolver over one graph; the registry tells the types of bypassed nodes. */
export function createResolver(graph: UiGraph, registry: NodeRegistry): Resolver {
  /** `passed` holds the nodes that the search went through: coming back to one would never end. */
  function follow(slot: UiSlot | undefined, wanted: string, passed: readonly string[]): Resolved {
    if (slot?.link === undefined || slot.link === null) return NOTHING;
    const link = graph.links.get(slot.link);
    if (!link) return { kind: 'broken', why: `its link ${slot.link} is not in the file` };
    const origin = graph.nodes.get(link.origin);
    if (!origin)
      return {
        kind: 'broken',
        why: `it is linked to node ${link.origin}, which is not in the file`,
      };
    if (passed.includes(link.origin)) {
      return { kind: 'broken', why: `its link runs in a circle through node ${link.origin}` };
    }
    const further = [...passed, link.origin];
    if (origin.type === 'PrimitiveNode') return primitiveValue(origin);
    if (origin.mode === MODE_MUTED) return NOTHING;
    if (origin.type === 'Reroute') return follow(origin.inputs?.[0], wanted, further);
    if (origin.mode === MODE_BYPASSED) {
      return follow(passThrough(origin, link.slot, wanted), wanted, further);
    }
    return { kind: 'link', node: link.origin, slot: link.slot };
  }

  /** The input of a bypassed node whose value comes out of its output `slot`. */
  function passThrough(node: UiNode, slot: number, wanted: string): UiSlot | undefined {
    const definition = registry.find(node.type)?.definition;
    const sockets = runtimeSockets(node, definition);
    if (isAnyType(wanted)) return sockets[slot] ?? sockets[0];
    const given = definition?.outputs[slot]?.type ?? node.outputs?.[slot]?.type;
    const opposite = sockets[slot];
    if (opposite && fits(opposite.type, given) && fits(opposite.type, wanted)) return opposite;
    return (
      sockets.find((socket) => socket.type === wanted) ??
      sockets.find((socket) => fits(socket.type, wanted))
    );
  }

  return { resolveInput: (slot) => follow(slot, String(slot.type), []) };
}

function primitiveValue(node: UiNode): Resolved {
  const values = node.widgets_values ?? [];
  const value = Array.isArray(values) ? values[0] : Object.values(values)[0];
  return value === undefined ? NOTHING : { kind: 'constant', value };
}

function isAnyType(type: unknown): boolean {
  return type === '*' || type === '' || type === 0;
}

/** Types are compatible when either is any, or the comma lists share a name in any case. */
function fits(a: unknown, b: unknown): boolean {
  if (isAnyType(a) || isAnyType(b)) return true;
  const names = (type: unknown) => String(type).toLowerCase().split(',');
  return names(a).some((name) => names(b).includes(name));
}
