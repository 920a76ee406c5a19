/** @file What this extension uses of ComfyUI's front end; its own types are not published. */

/** A node on the canvas. Its id is a string at run time and a number in old files. */
export interface ComfyNode {
  readonly id: string | number;
  readonly comfyClass?: string;
  readonly widgets?: readonly ComfyWidget[];
  /** Of a node that stands for a subgraph. */
  readonly subgraph?: ComfyGraph;
  addDOMWidget(
    name: string,
    type: string,
    element: HTMLElement,
    options: {
      serialize: boolean;
      hideOnZoom: boolean;
      hideInPanel: boolean;
      getMinHeight: () => number;
    },
  ): ComfyWidget;
  onRemoved?: () => void;
  /** Whether the user has asked for advanced widgets, by "Show Advanced" in the node's menu. */
  readonly showAdvanced?: boolean;
  /** What "Show Advanced" and "Hide Advanced" in its menu do: the node grows as it needs, and never shrinks. */
  toggleAdvanced?(): void;
  /** Values of a file, or of a copied node, have been written into it. */
  onConfigure?: (saved: unknown) => void;
  computeSize(): readonly [number, number];
  /** Width and height in pixels of the canvas at scale 1. */
  readonly size: readonly [number, number];
  setSize(size: [number, number]): void;
}

export interface ComfyWidget {
  readonly name: string;
  value: unknown;
  /** A value has been chosen, or the same once more; not when a file is loaded. */
  callback?: (...args: unknown[]) => void;
  serialize?: boolean;
  readonly options?: { readonly advanced?: boolean };
  /** Nodes that have such widgets get "Show Advanced" in their menu. */
  advanced?: boolean;
}

export interface ComfyGraph {
  /** Kept in the workflow's file. */
  readonly id?: string;
  getNodeById(id: string): ComfyNode | null | undefined;
}

export interface ComfyExtension {
  readonly name: string;
  setup(): Promise<void>;
  nodeCreated(node: ComfyNode): void;
  /** A workflow has been loaded: its nodes have their ids. */
  afterConfigureGraph(): void;
}

export interface ComfyApp {
  /** Absent before subgraphs came. */
  readonly rootGraph?: ComfyGraph;
  readonly graph: ComfyGraph;
  registerExtension(extension: ComfyExtension): void;
}

declare global {
  /** The canvas; absent in pages without one. */
  var LiteGraph: { readonly vueNodesMode?: boolean } | undefined;
}

export interface ComfyApi {
  /** What it queues bears this; the same after the page is loaded anew. */
  readonly clientId?: string;
  fetchApi(path: string): Promise<Response>;
  addEventListener(type: string, listener: (event: CustomEvent<unknown>) => void): void;
}
