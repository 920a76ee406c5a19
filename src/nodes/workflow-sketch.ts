/** @file A workflow in the form that ComfyUI's front end saves, node by node. */

/** An output of a node that was added. */
export interface SketchOutput {
  readonly node: number;
  readonly slot: number;
}

export interface SketchNode {
  readonly type: string;
  readonly title?: string;
  /** Left upper corner and size on the canvas, in pixels. */
  readonly at: readonly [x: number, y: number];
  readonly size: readonly [width: number, height: number];
  /** Sockets in the node's order, with what feeds them. */
  readonly inputs?: readonly (readonly [name: string, type: string, from?: SketchOutput])[];
  readonly outputs?: readonly (readonly [name: string, type: string])[];
  /** Values of the widgets in the node's order; a seed is two, itself and what becomes of it after a run. */
  readonly values?: readonly (string | number)[];
}

interface Placed extends SketchNode {
  readonly id: number;
}

export class WorkflowSketch {
  readonly #nodes: Placed[] = [];

  /** Adds a node; the result names its outputs by slot. Feed it by nodes that were added before. */
  add(node: SketchNode): (slot?: number) => SketchOutput {
    const id = this.#nodes.length + 1;
    this.#nodes.push({ ...node, id });
    return (slot = 0) => ({ node: id, slot });
  }

  /** The file's JSON. */
  json() {
    const links = this.#nodes.flatMap(({ id, inputs = [] }) =>
      inputs.flatMap(([, type, from], slot) =>
        from ? [{ from, to: { node: id, slot }, type }] : [],
      ),
    );
    const numbered = links.map((link, i) => ({ ...link, id: i + 1 }));
    const into = (node: number, slot: number) =>
      numbered.find(({ to }) => to.node === node && to.slot === slot)?.id ?? null;
    const outOf = (node: number, slot: number) =>
      numbered.filter(({ from }) => from.node === node && from.slot === slot).map(({ id }) => id);
    return {
      last_node_id: this.#nodes.length,
      last_link_id: links.length,
      nodes: this.#nodes.map(
        ({ id, type, title, at, size, inputs = [], outputs = [], values = [] }, order) => ({
          id,
          type,
          pos: at,
          size,
          flags: {},
          order,
          mode: 0,
          inputs: inputs.map(([name, kind], slot) => ({ name, type: kind, link: into(id, slot) })),
          outputs: outputs.map(([name, kind], slot) => ({
            name,
            type: kind,
            links: outOf(id, slot),
          })),
          ...(title !== undefined && { title }),
          properties: { 'Node name for S&R': type },
          widgets_values: values,
        }),
      ),
      links: numbered.map(({ id, from, to, type }) => [
        id,
        from.node,
        from.slot,
        to.node,
        to.slot,
        type,
      ]),
      groups: [],
      config: {},
      extra: { ds: { scale: 0.7, offset: [80, 320] } },
      version: 0.4,
    };
  }
}
