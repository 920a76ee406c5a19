/** @file A loaded workflow: its root graph and its subgraphs, each node with the widgets and sockets that it has in the front end. */
import type { NodeInfo, NodeTypes } from './object-info.ts';
import type { UiLink, UiNode, UiSubgraph } from './ui-schema.ts';
import { type Controls, readControls, savedSockets, unknownControls } from './ui-widgets.ts';

/** Values of a node's `mode`. */
export const MODE_MUTED = 2;
export const MODE_BYPASSED = 4;

/** The ends of links that come from the inputs of the subgraph, and go to its outputs. */
export const SUBGRAPH_INPUT = '-10';
export const SUBGRAPH_OUTPUT = '-20';

/** Nodes that only the front end knows; they never reach the API form. */
const VIRTUAL_TYPES: ReadonlySet<string> = new Set([
  'Reroute',
  'PrimitiveNode',
  'Note',
  'MarkdownNote',
]);

export interface GraphNode extends Controls {
  readonly id: string;
  /** virtual: only the front end knows it; subgraph: stands for its inner nodes; missing: not installed. */
  readonly kind: 'executed' | 'virtual' | 'subgraph' | 'missing';
  readonly saved: UiNode;
  readonly info: NodeInfo | undefined;
  /** Undefined when the type is missing and the file names none. */
  readonly title: string | undefined;
}

export interface Graph {
  /** By id, in file order. */
  readonly nodes: ReadonlyMap<string, GraphNode>;
  readonly links: ReadonlyMap<number, UiLink>;
  /** Names of a subgraph's inputs, in slot order. */
  readonly inputs: readonly string[];
}

export interface LoadedFile {
  readonly root: Graph;
  /** By id, which is the type of the nodes that stand for it. */
  readonly subgraphs: ReadonlyMap<string, Graph>;
}

interface SavedGraphs {
  readonly nodes: readonly UiNode[];
  readonly links: readonly UiLink[];
  readonly subgraphs: readonly UiSubgraph[];
}

/** Gives each node of the file its widgets and sockets. */
export function loadGraphs(file: SavedGraphs, types: NodeTypes): LoadedFile {
  const definitions = new Map(file.subgraphs.map((subgraph) => [subgraph.id, subgraph]));
  const load = (nodes: readonly UiNode[], links: readonly UiLink[], inputs: readonly string[]) => ({
    nodes: new Map(nodes.map((node) => [String(node.id), loadNode(node, definitions, types)])),
    links: new Map(links.map((link) => [link.id, link])),
    inputs,
  });
  return {
    root: load(file.nodes, file.links, []),
    subgraphs: new Map(
      file.subgraphs.map((subgraph) => [
        subgraph.id,
        load(subgraph.nodes, subgraph.links, inputNames(subgraph)),
      ]),
    ),
  };
}

function inputNames(subgraph: UiSubgraph): string[] {
  return subgraph.inputs.map((input) => input.name);
}

function loadNode(
  node: UiNode,
  definitions: ReadonlyMap<string, UiSubgraph>,
  types: NodeTypes,
): GraphNode {
  const common = { id: String(node.id), saved: node, info: undefined };
  const title = node.title || undefined;
  const definition = definitions.get(node.type);
  if (definition) {
    return { ...common, ...instanceControls(node, definition), kind: 'subgraph', title };
  }
  if (VIRTUAL_TYPES.has(node.type)) {
    const sockets = savedSockets(node);
    return { ...common, sockets, widgets: new Map(), kind: 'virtual', title };
  }
  const info = types.find(node.type);
  if (!info) return { ...common, ...unknownControls(node), kind: 'missing', title };
  return {
    ...common,
    ...readControls(node, info),
    kind: 'executed',
    info,
    title: title ?? (info.display_name || node.type),
  };
}

/** Sockets go by the definition, which may have changed since the instance was saved. */
function instanceControls(node: UiNode, definition: UiSubgraph): Controls {
  const saved = savedSockets(node);
  const sockets = definition.inputs.map(({ name, type }) => {
    const slot = saved.find((candidate) => candidate.name === name);
    return { name, type: slot?.type ?? type, link: slot?.link };
  });
  return { sockets, widgets: new Map() };
}

/** The type of an output: the definition's, or the file's where that says more. */
export function outputType(node: GraphNode, slot: number): unknown {
  const saved = node.saved.outputs?.[slot]?.type;
  const defined = node.info?.output?.[slot];
  return defined === undefined || String(defined).startsWith('COMFY_') ? saved : defined;
}

/** A link and the node and socket of this graph that it ends at. */
export function targetOf(graph: Graph, link: UiLink) {
  const node = graph.nodes.get(link.target);
  const socket = node?.sockets.find((candidate) => candidate.link === link.id);
  return node && socket ? { node, socket } : undefined;
}
