/** @file Follows a link of the front end's form back to the node that really gives the value: through reroutes, bypassed nodes, and into and out of subgraphs. */
import { bug } from '../errors.ts';
import {
  type Graph,
  type GraphNode,
  type LoadedFile,
  MODE_BYPASSED,
  MODE_MUTED,
  outputType,
  SUBGRAPH_INPUT,
  SUBGRAPH_OUTPUT,
} from './ui-graph.ts';
import { type Promoted, promotedValues } from './ui-promoted.ts';
import type { UiLink } from './ui-schema.ts';
import type { Socket } from './ui-widgets.ts';

export type Resolved =
  | { readonly kind: 'link'; readonly node: string; readonly slot: number }
  /** A widget's value that is set on the outside of its subgraph. */
  | { readonly kind: 'promoted'; readonly value: unknown }
  /** Nothing is connected, or what is connected is muted. */
  | { readonly kind: 'nothing' }
  | { readonly kind: 'broken'; readonly why: string };

const NOTHING: Resolved = { kind: 'nothing' };

/** Nothing, because the way out of the subgraphs ends at an input without link and value. */
const UNSET: Resolved = { kind: 'nothing' };

/** A graph at the place where it is used: a subgraph has one for each node that stands for it. */
export interface Scope {
  readonly graph: Graph;
  /** Ids of the nodes around it, from the root. */
  readonly path: readonly string[];
  /** Undefined for the root. */
  readonly host: Host | undefined;
}

interface Host {
  readonly scope: Scope;
  readonly instance: GraphNode;
  readonly promoted: Promoted;
}

/** The id that a node has in the API form. */
export function executionId(scope: Scope, node: string): string {
  return [...scope.path, node].join(':');
}

export interface Resolver {
  readonly root: Scope;
  /** The inside of a node that stands for a subgraph; undefined when it would contain itself. */
  enter(scope: Scope, instance: GraphNode): Scope | undefined;
  /** What reaches an input. */
  resolveInput(scope: Scope, socket: Socket): Resolved;
}

/** A resolver over all graphs of a file. */
export function createResolver({ root, subgraphs }: LoadedFile): Resolver {
  function enter(scope: Scope, instance: GraphNode): Scope | undefined {
    const graph = subgraphs.get(instance.saved.type);
    if (!graph) throw bug(`node ${instance.id} stands for no subgraph`);
    for (let around: Scope | undefined = scope; around; around = around.host?.scope) {
      if (around.graph === graph) return undefined;
    }
    const promoted = promotedValues(instance, graph, subgraphs);
    return { graph, path: [...scope.path, instance.id], host: { scope, instance, promoted } };
  }

  /** `passed` holds the outputs that the search went through: coming back to one would never end. */
  function follow(
    scope: Scope,
    socket: Socket | undefined,
    wanted: unknown,
    passed: readonly string[],
  ): Resolved {
    if (socket?.link === undefined) return NOTHING;
    const link = scope.graph.links.get(socket.link);
    if (!link) return { kind: 'broken', why: `its link ${socket.link} is not in the file` };
    return followLink(scope, link, wanted ?? socket.type, passed);
  }

  function followLink(
    scope: Scope,
    { origin: id, slot }: UiLink,
    wanted: unknown,
    passed: readonly string[],
  ): Resolved {
    if (id === SUBGRAPH_INPUT && scope.host) return leave(scope, scope.host, slot, passed);
    const origin = scope.graph.nodes.get(id);
    if (!origin)
      return { kind: 'broken', why: `it is linked to node ${id}, which is not in the file` };
    const output = `${executionId(scope, id)}/${slot}`;
    if (passed.includes(output)) {
      return { kind: 'broken', why: `its link runs in a circle through node ${id}` };
    }
    const further = [...passed, output];
    const { mode } = origin.saved;
    if (mode === MODE_MUTED) return NOTHING;
    if (mode === MODE_BYPASSED) {
      return follow(scope, passThrough(origin, slot, wanted), undefined, further);
    }
    if (origin.kind === 'virtual') return follow(scope, origin.sockets[slot], wanted, further);
    if (origin.kind !== 'subgraph') {
      return { kind: 'link', node: executionId(scope, id), slot };
    }
    const inside = enter(scope, origin);
    if (!inside) return { kind: 'broken', why: `node ${id} contains itself` };
    const links = [...inside.graph.links.values()];
    const inner = links.find((l) => l.target === SUBGRAPH_OUTPUT && l.targetSlot === slot);
    return inner ? followLink(inside, inner, wanted, further) : NOTHING;
  }

  /** From an inner node out through an input of its subgraph. */
  function leave(
    { graph }: Scope,
    { scope, instance, promoted }: Host,
    slot: number,
    passed: readonly string[],
  ): Resolved {
    const name = graph.inputs[slot];
    if (name === undefined) return { kind: 'broken', why: `its subgraph has no input ${slot}` };
    const socket = instance.sockets.find((candidate) => candidate.name === name);
    const found = socket?.link === undefined ? UNSET : follow(scope, socket, undefined, passed);
    if (found !== UNSET || !promoted.byInput.has(name)) return found;
    return { kind: 'promoted', value: promoted.byInput.get(name) };
  }

  return {
    root: { graph: root, path: [], host: undefined },
    enter,
    resolveInput: (scope, socket) => follow(scope, socket, undefined, []),
  };
}

/** The input of a bypassed node whose value comes out of its output `slot`. */
function passThrough(node: GraphNode, slot: number, wanted: unknown): Socket | undefined {
  const { sockets } = node;
  const opposite = sockets[slot];
  if (wanted === '*' || wanted === '') return opposite ?? sockets[0];
  const given = outputType(node, slot);
  const suits = ({ type }: Socket) => fits(type, given) && fits(type, wanted);
  if (opposite && suits(opposite)) return opposite;
  return sockets.find((socket) => socket.type === wanted) ?? sockets.find(suits);
}

/** The value that a primitive puts into a widget. */
export interface PrimitiveValue {
  readonly value: unknown;
  /** True where %Node.widget% in it stands for a value. */
  readonly isTemplate: boolean;
}

/** The primitive that a socket is linked to; the front end looks no further than this link. */
export function primitiveAt({ graph }: Scope, socket: Socket): PrimitiveValue | undefined {
  const link = socket.link === undefined ? undefined : graph.links.get(socket.link);
  const saved = link && graph.nodes.get(link.origin)?.saved;
  if (saved?.type !== 'PrimitiveNode') return undefined;
  const values = saved.widgets_values ?? [];
  const value = Array.isArray(values) ? values[0] : Object.values(values)[0];
  if (value === undefined) return undefined;
  return { value, isTemplate: saved.properties?.['Run widget replace on values'] === true };
}

/** Types are compatible when either is any, or the comma lists share a name in any case. */
function fits(a: unknown, b: unknown): boolean {
  const isAny = (type: unknown) => type === '*' || type === '' || type === 0 || type === undefined;
  if (isAny(a) || isAny(b)) return true;
  const names = (type: unknown) => String(type).toLowerCase().split(',');
  return names(a).some((name) => names(b).includes(name));
}
