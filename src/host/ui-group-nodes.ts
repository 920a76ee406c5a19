/** @file Group nodes, which came before subgraphs: each becomes a subgraph, as the front end makes of them on loading. */
import type { NodeTypes } from './object-info.ts';
import { SUBGRAPH_INPUT, SUBGRAPH_OUTPUT } from './ui-graph.ts';
import type { UiFile, UiGroupNode, UiLink, UiNode, UiSubgraph } from './ui-schema.ts';
import { type Controls, readControls, unknownControls } from './ui-widgets.ts';

/** A file in which all inner graphs are subgraphs. */
export type UngroupedFile = Pick<UiFile, 'nodes' | 'links' | 'subgraphs'>;

/** Replaces the group nodes of the root graph; those that the file does not define stay as they are. */
export function withoutGroupNodes(file: UiFile, types: NodeTypes): UngroupedFile {
  const subgraphs = [...file.subgraphs];
  const renamed = new Map<string, string>();
  let last = file.lastNodeId;
  const nodes = file.nodes.map((node) => {
    const name = /^workflow[>/](.+)$/s.exec(node.type)?.[1];
    const group = name === undefined ? undefined : file.groupNodes.get(name);
    if (!group) return node;
    // The front end puts the inner nodes into the root first, then makes a subgraph of them.
    const inner = new GroupReader(group, node, last + 1, types);
    last += group.nodes.length + 1;
    const subgraph = inner.subgraph(`group node ${last}`);
    subgraphs.push(subgraph);
    renamed.set(String(node.id), String(last));
    return { ...node, id: last, type: subgraph.id, inputs: inner.sockets(), widgets_values: [] };
  });
  const links = file.links.map((link) => ({
    ...link,
    origin: renamed.get(link.origin) ?? link.origin,
  }));
  return { nodes, links, subgraphs };
}

/** An input of an inner node that the group shows. */
interface Shown {
  readonly node: number;
  readonly name: string;
  readonly isWidget: boolean;
}

class GroupReader {
  readonly #group: UiGroupNode;
  readonly #instance: UiNode;
  readonly #ids: readonly string[];
  readonly #controls: readonly Controls[];
  /** Links between inner nodes. */
  readonly #links: readonly UiLink[];
  readonly #shown: readonly Shown[];

  constructor(group: UiGroupNode, instance: UiNode, firstId: number, types: NodeTypes) {
    this.#group = group;
    this.#instance = instance;
    this.#ids = group.nodes.map((_, i) => String(firstId + i));
    this.#controls = group.nodes.map((node) => {
      const info = types.find(node.type);
      return info ? readControls(node, info) : unknownControls(node);
    });
    this.#links = group.links.flatMap(([from, slot, to, toSlot], i) => {
      const origin = this.#ids[Number(from ?? -1)];
      const target = this.#ids[Number(to ?? -1)];
      const isLink = origin !== undefined && target !== undefined;
      return isLink
        ? [{ id: i, origin, slot: Number(slot), target, targetSlot: Number(toSlot) }]
        : [];
    });
    this.#shown = group.nodes.flatMap((_, i) => this.#shownInputs(i));
  }

  /** Sockets of the node that stands for the subgraph, by the subgraph's names for them. */
  sockets() {
    const saved = this.#instance.inputs ?? [];
    const plain = saved.filter((slot) => slot['widget'] === undefined);
    const taken = new Set<Shown>();
    const sockets = plain.flatMap((slot, i) => {
      const shown = this.#shown.filter((input) => !input.isWidget)[i];
      return shown ? [{ ...slot, name: this.#inputName(shown) }] : [];
    });
    for (const slot of saved.filter((s) => s['widget'] !== undefined)) {
      // The second input of a name has its node's title before it.
      const isIt = ({ name }: Shown) => slot.name === name || slot.name.endsWith(` ${name}`);
      const shown = this.#shown.find((s) => s.isWidget && !taken.has(s) && isIt(s));
      if (!shown) continue;
      taken.add(shown);
      sockets.push({ ...slot, name: this.#inputName(shown) });
    }
    return sockets;
  }

  subgraph(id: string): UiSubgraph {
    const into = this.#shown.map(({ node, name }, slot) => ({
      id: this.#group.links.length + slot,
      origin: SUBGRAPH_INPUT,
      slot,
      target: this.#ids[node]!,
      // Not read: the socket that names the link is the target.
      targetSlot: 0,
      name,
    }));
    const outOf = this.#shownOutputs().map(({ node, slot }, targetSlot) => ({
      id: this.#group.links.length + into.length + targetSlot,
      origin: this.#ids[node]!,
      slot,
      target: SUBGRAPH_OUTPUT,
      targetSlot,
    }));
    const values = this.#values();
    const nodes = this.#group.nodes.map((node, i) => {
      const outer = into.filter((link) => link.target === this.#ids[i]);
      const names = [...new Set([...this.#inner(i).keys(), ...outer.map((link) => link.name)])];
      const inputs = names.map((name) => {
        const saved = node.inputs?.find((slot) => slot.name === name);
        const type = this.#controls[i]!.sockets.find((socket) => socket.name === name)?.type;
        const link = this.#inner(i).get(name) ?? outer.find((l) => l.name === name)?.id;
        return { ...saved, name, type: saved?.type ?? type, link };
      });
      return { ...node, id: this.#ids[i]!, inputs, widgets_values: values[i] };
    });
    const inputs = this.#shown.map((input) => ({ name: this.#inputName(input) }));
    return { id, nodes, links: [...this.#links, ...into, ...outOf], inputs };
  }

  #inputName({ node, name }: Shown): string {
    return `${this.#ids[node]}.${name}`;
  }

  /** Ids of links from other inner nodes, by input name. */
  #inner(node: number): Map<string, number> {
    const saved = this.#group.nodes[node]?.inputs ?? [];
    return new Map(
      this.#links
        .filter((link) => link.target === this.#ids[node])
        .map((link) => [saved[link.targetSlot]?.name ?? '', link.id]),
    );
  }

  #isHidden(node: number, kind: 'input' | 'output', name: string | number): boolean {
    const config = this.#group.config?.[node] as
      | Record<string, Record<string, { visible?: boolean }> | undefined>
      | undefined;
    return config?.[kind]?.[name]?.visible === false;
  }

  /** Plain inputs first; widgets only where they had been made inputs. */
  #shownInputs(node: number): Shown[] {
    const { sockets, widgets } = this.#controls[node]!;
    const inner = this.#inner(node);
    const converted = new Set(this.#group.nodes[node]?.inputs?.map((slot) => slot.name));
    return sockets
      .map(({ name }) => ({ node, name, isWidget: widgets.has(name) }))
      .filter(({ isWidget, name }) => !isWidget || converted.has(name))
      .filter(({ name }) => !inner.has(name) && !this.#isHidden(node, 'input', name));
  }

  /** Outputs that no inner node takes, or that are taken outside as well. */
  #shownOutputs(): { node: number; slot: number }[] {
    return this.#group.nodes.flatMap((saved, node) =>
      (saved.outputs ?? [])
        .map((_, slot) => ({ node, slot }))
        .filter(({ slot }) => {
          const isTaken = this.#links.some((l) => l.origin === this.#ids[node] && l.slot === slot);
          const isExternal = this.#group.external?.some(([n, s]) => n === node && s === slot);
          return (!isTaken || isExternal) && !this.#isHidden(node, 'output', slot);
        }),
    );
  }

  /** Widget values by name of each inner node: the group holds those of the widgets that it shows, in order. */
  #values(): Record<string, unknown>[] {
    const saved = this.#instance.widgets_values ?? [];
    const outer = Array.isArray(saved) ? saved : [];
    let next = 0;
    const take = (own: unknown, entries: number) => {
      const value = next < outer.length ? outer[next] : own;
      next += entries;
      return value;
    };
    return this.#group.nodes.map((node, i) => {
      if (node.type === 'PrimitiveNode') {
        const own = Array.isArray(node.widgets_values) ? node.widgets_values[0] : undefined;
        return { value: take(own, this.#primitiveEntries(i)) };
      }
      const inner = this.#inner(i);
      const converted = new Set(node.inputs?.map((slot) => slot.name));
      return Object.fromEntries(
        [...this.#controls[i]!.widgets].map(([name, { value, entries }]) => {
          const isShown =
            !inner.has(name) && !converted.has(name) && !this.#isHidden(i, 'input', name);
          return [name, isShown ? take(value, entries) : value];
        }),
      );
    });
  }

  /** A primitive's widget is that of its first target. */
  #primitiveEntries(node: number): number {
    const link = this.#links.find((l) => l.origin === this.#ids[node]);
    const target = link ? this.#ids.indexOf(link.target) : -1;
    const name = this.#group.nodes[target]?.inputs?.[link?.targetSlot ?? 0]?.name;
    return this.#controls[target]?.widgets.get(name ?? '')?.entries ?? 1;
  }
}
