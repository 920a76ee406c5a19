/** @file Node ids that two subgraphs, or a subgraph and the root, share are given anew: the front end does so on loading, and the API form shows them. */
import type { UiFile, UiNode, UiSubgraph } from './ui-schema.ts';

/** The file with ids that are unique in all of its graphs. */
export function withUniqueIds(file: UiFile): UiFile {
  const used = new Set(file.nodes.map((node) => String(node.id)));
  const renamed = new Map<string, ReadonlyMap<string, string>>();
  let last = file.lastNodeId;
  for (const { id: subgraph, nodes } of file.subgraphs) {
    const names = new Map<string, string>();
    for (const { id } of nodes) {
      if (used.has(String(id))) {
        do last++;
        while (used.has(String(last)));
        names.set(String(id), String(last));
        used.add(String(last));
      } else {
        used.add(String(id));
        if (Number.isInteger(Number(id))) last = Math.max(last, Number(id));
      }
    }
    renamed.set(subgraph, names);
  }
  if ([...renamed.values()].every((names) => names.size === 0)) {
    return { ...file, lastNodeId: last };
  }
  return {
    ...file,
    nodes: file.nodes.map((node) => withProxies(node, renamed)),
    subgraphs: file.subgraphs.map((subgraph) => rename(subgraph, renamed)),
    lastNodeId: last,
  };
}

type Renamed = ReadonlyMap<string, ReadonlyMap<string, string>>;

function rename(subgraph: UiSubgraph, renamed: Renamed): UiSubgraph {
  const names = renamed.get(subgraph.id) ?? new Map<string, string>();
  const named = (id: string) => names.get(id) ?? id;
  return {
    ...subgraph,
    nodes: subgraph.nodes.map((node) => ({
      ...withProxies(node, renamed),
      id: named(String(node.id)),
    })),
    links: subgraph.links.map((link) => ({
      ...link,
      origin: named(link.origin),
      target: named(link.target),
    })),
  };
}

/** An instance names inner nodes by id in its `proxyWidgets`. */
function withProxies(node: UiNode, renamed: Renamed): UiNode {
  const names = renamed.get(node.type);
  const proxies = node.properties?.['proxyWidgets'];
  if (!names || !Array.isArray(proxies)) return node;
  const proxyWidgets = proxies.map((entry: unknown) =>
    Array.isArray(entry) ? [names.get(String(entry[0])) ?? entry[0], ...entry.slice(1)] : entry,
  );
  return { ...node, properties: { ...node.properties, proxyWidgets } };
}
