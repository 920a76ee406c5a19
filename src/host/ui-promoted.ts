/** @file Widgets of inner nodes that are set on the node that stands for their subgraph. Front ends have saved them in three ways. */
import { type Graph, type GraphNode, SUBGRAPH_INPUT, targetOf } from './ui-graph.ts';

export interface Promoted {
  /** By name of the subgraph's input; those that are not here keep the inner node's value. */
  readonly byInput: ReadonlyMap<string, unknown>;
  /** By `innerWidget` name: widgets that are shown outside without an input. */
  readonly byInner: ReadonlyMap<string, unknown>;
}

/** The key of an inner widget. */
export function innerWidget(node: string, widget: string): string {
  return `${node}.${widget}`;
}

/** The values that the instance sets in its subgraph. */
export function promotedValues(
  instance: GraphNode,
  graph: Graph,
  subgraphs: ReadonlyMap<string, Graph>,
): Promoted {
  const proxies = pairs(instance.saved.properties?.['proxyWidgets']);
  const saved = instance.saved.widgets_values ?? [];
  if (!Array.isArray(saved)) return { byInput: new Map(Object.entries(saved)), byInner: new Map() };
  return proxies.length > 0
    ? throughProxies(proxies, saved, graph)
    : { byInput: inOrder(instance, saved, graph, subgraphs), byInner: new Map() };
}

/** Front ends up to 1.45: [inner node, widget] in the order of the values; node -1 is an input of that name. */
function throughProxies(
  proxies: readonly (readonly [string, string])[],
  saved: readonly unknown[],
  graph: Graph,
): Promoted {
  const byInput = new Map<string, unknown>();
  const byInner = new Map<string, unknown>();
  for (const [i, [node, name]] of proxies.entries()) {
    const value = saved[i];
    // The value is the inner widget's own.
    if (value === undefined || value === null) continue;
    const input = node === '-1' ? name : inputBehind(graph, node, name);
    if (input === undefined) byInner.set(innerWidget(node, name), value);
    else byInput.set(input, value);
  }
  return { byInput, byInner };
}

/** Since 1.46: one value for each input that leads to a widget; those that could not be carried over lie aside. */
function inOrder(
  instance: GraphNode,
  saved: readonly unknown[],
  graph: Graph,
  subgraphs: ReadonlyMap<string, Graph>,
): Map<string, unknown> {
  const aside = quarantined(instance.saved.properties?.['proxyWidgetErrorQuarantine']);
  const inputs = graph.inputs.filter((_, slot) => leadsToWidget(graph, slot, subgraphs, []));
  return new Map(
    inputs.flatMap((name, i) => {
      const value = aside.has(name) ? aside.get(name) : saved[i];
      return value === undefined ? [] : [[name, value] as const];
    }),
  );
}

function leadsToWidget(
  graph: Graph,
  slot: number,
  subgraphs: ReadonlyMap<string, Graph>,
  outer: readonly Graph[],
): boolean {
  if (outer.includes(graph)) return false;
  return inputLinks(graph, slot).some((link) => {
    const target = targetOf(graph, link);
    if (!target) return false;
    const { node, socket } = target;
    const inner = node.kind === 'subgraph' ? subgraphs.get(node.saved.type) : undefined;
    return inner
      ? leadsToWidget(inner, inner.inputs.indexOf(socket.name), subgraphs, [...outer, graph])
      : node.widgets.has(socket.name);
  });
}

/** The input of the subgraph that is linked to an inner widget. */
function inputBehind(graph: Graph, node: string, widget: string): string | undefined {
  return graph.inputs.find((_, slot) =>
    inputLinks(graph, slot).some((link) => {
      const target = targetOf(graph, link);
      return target?.node.id === node && target.socket.name === widget;
    }),
  );
}

function inputLinks(graph: Graph, slot: number) {
  return [...graph.links.values()].filter(
    (link) => link.origin === SUBGRAPH_INPUT && link.slot === slot,
  );
}

function pairs(json: unknown): (readonly [string, string])[] {
  if (!Array.isArray(json)) return [];
  return json.flatMap((entry: unknown) =>
    Array.isArray(entry) && entry.length >= 2
      ? [[String(entry[0]), String(entry[1])] as const]
      : [],
  );
}

function quarantined(json: unknown): Map<string, unknown> {
  const entries = Array.isArray(json) ? (json as unknown[]) : [];
  return new Map(
    entries.toReversed().flatMap((entry) => {
      const { originalEntry, hostValue } = (entry ?? {}) as Record<string, unknown>;
      const [pair] = pairs([originalEntry]);
      return pair?.[0] === '-1' && hostValue !== undefined ? [[pair[1], hostValue] as const] : [];
    }),
  );
}
