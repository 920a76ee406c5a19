/** The shipped workflows are as the front end saves them, and laid out for the eye. */
import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { objectInfo, readObjectInfo } from '../../src/host/object-info.ts';
import { convertUiWorkflow } from '../../src/host/ui-to-api.ts';
import { validateWorkflow } from '../../src/host/validate.ts';
import { parseWorkflow } from '../../src/host/workflow.ts';
import { allNodes } from '../../src/nodes/all-nodes.ts';

type Pair = readonly [number, number];

interface Saved {
  readonly version: number;
  readonly nodes: readonly {
    readonly id: number;
    readonly type: string;
    readonly pos: Pair;
    readonly size: Pair;
    readonly widgets_values: readonly unknown[];
  }[];
  readonly links: readonly (readonly [number, number, number, number, number, string])[];
  readonly groups: readonly {
    readonly title: string;
    readonly bounding: readonly [number, number, number, number];
  }[];
}

interface Box {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

/** The title stands above `pos`. */
const TITLE_HEIGHT = 30;

function boxOf({ pos: [x, y], size: [width, height] }: Saved['nodes'][number]): Box {
  return { left: x, top: y - TITLE_HEIGHT, right: x + width, bottom: y + height };
}

function frameOf({ bounding: [x, y, width, height] }: Saved['groups'][number]): Box {
  return { left: x, top: y, right: x + width, bottom: y + height };
}

function overlap(a: Box, b: Box): boolean {
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
}

function isInside(inner: Box, outer: Box): boolean {
  return (
    inner.left > outer.left &&
    inner.right < outer.right &&
    inner.top > outer.top &&
    inner.bottom < outer.bottom
  );
}

/** Each two different items. */
function pairsOf<Item>(items: readonly Item[]): [Item, Item][] {
  return items.flatMap((a, i) => items.slice(i + 1).map((b): [Item, Item] => [a, b]));
}

/** Nodes of ComfyUI's own that workflows for Stable Diffusion 3 need, as it tells of them. */
const CORE = JSON.parse(
  await readFile(new URL('fixtures/comfyui-nodes.json', import.meta.url), 'utf8'),
) as Readonly<Record<string, object>>;

const registry = allNodes();
const ours = registry.list().map((definition) => [definition.id, objectInfo(definition)]);
const types = readObjectInfo({ ...CORE, ...Object.fromEntries(ours) }, 'all nodes');

const folder = new URL('../../workflows/', import.meta.url);
const names = (await readdir(fileURLToPath(folder))).filter((name) => name.endsWith('.json'));

describe.each(names)('%s', async (name) => {
  const json: unknown = JSON.parse(await readFile(new URL(name, folder), 'utf8'));
  const saved = json as Saved;
  const nodes = saved.nodes.filter((node) => node.type !== 'MarkdownNote');

  test('is in the form that the front end saves, and valid', () => {
    expect(saved.version).toBe(0.4);
    const core = nodes.filter(({ type }) => type in CORE);
    expect(core.length > 0, 'needs ComfyUI').toBe(name.startsWith('sd3-'));
    const unknown = core.map(({ id, type }) => ({
      node: String(id),
      message: `there is no node ${type}`,
    }));
    expect(validateWorkflow(parseWorkflow(json, registry, name), registry)).toEqual(unknown);
  });

  test('has a value for every widget', () => {
    const { api } = convertUiWorkflow(json, types, name);
    for (const node of nodes) {
      const inputs = Object.values({
        ...types.find(node.type)?.input?.required,
        ...types.find(node.type)?.input?.optional,
      });
      const seeds = inputs.filter(({ options }) => options.control_after_generate).length;
      const values = Object.values(api[node.id]!.inputs).filter((value) => !Array.isArray(value));
      expect(node.widgets_values, node.type).toHaveLength(values.length + seeds);
    }
  });

  test('says what it is for', () => {
    expect(saved.nodes.filter((node) => node.type === 'MarkdownNote')).toHaveLength(1);
  });

  test('has no two nodes, and no two groups, over each other', () => {
    for (const [a, b] of pairsOf(saved.nodes)) {
      expect(overlap(boxOf(a), boxOf(b)), `${a.id} and ${b.id}`).toBe(false);
    }
    for (const [a, b] of pairsOf(saved.groups)) {
      expect(overlap(frameOf(a), frameOf(b)), `${a.title} and ${b.title}`).toBe(false);
    }
  });

  test('has every node in a group, and every link from left to right', () => {
    for (const node of nodes) {
      const groups = saved.groups.filter((group) => isInside(boxOf(node), frameOf(group)));
      expect(groups, `groups around ${node.id}`).toHaveLength(1);
    }
    const find = (id: number) => boxOf(saved.nodes.find((node) => node.id === id)!);
    for (const [id, origin, , target] of saved.links) {
      expect(find(origin).right, `link ${id}`).toBeLessThan(find(target).left);
    }
  });
});
