/**
 * @file `npx tsx scripts/layout-workflow.ts FILE...`: lays workflows out for the eye, in place. Files may be of either of
 * ComfyUI's forms and become the one that its front end saves. Nodes flow from left to right within groups named by what
 * they do, groups from left to right in columns; notes stand on top. Seeds are set to stay as they are.
 * `npm run format` afterwards.
 */
import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { objectInfo, readObjectInfo } from '../src/host/object-info.ts';
import { readControls } from '../src/host/ui-widgets.ts';
import { parseWorkflow, type Workflow, type WorkflowNode } from '../src/host/workflow.ts';
import { readWorkflowFile } from '../src/host/workflow-file.ts';
import { allNodes } from '../src/nodes/all-nodes.ts';

/** What a node is there for; nodes of other types belong to what feeds them. */
const GROUPS: Readonly<Record<string, string>> = {
  FlowstepDataset: 'Train the teacher',
  FlowstepTrainTeacher: 'Train the teacher',
  FlowstepLoadModel: 'Load the model',
  FlowstepOnlineFlow: 'Distil the student',
  FlowstepDistill: 'Distil the student',
  FlowstepOneStepSampler: 'Sample the student',
  FlowstepTeacherSampler: 'Sample the teacher',
  FlowstepLossPlot: 'Plot the loss',
  FlowstepEvaluate: 'Evaluate the student',
  FlowstepSaveModel: 'Save the model',
};

/** Pixels that a node needs below its widgets once it has run: pictures, the chart of a run, the line that it says. */
const PICTURE_HEIGHTS: Readonly<Record<string, number>> = {
  SaveImage: 280,
  FlowstepTrainTeacher: 480,
  FlowstepDistill: 480,
  FlowstepSaveModel: 60,
};

/**
 * Pixels that nodes grow by where the page lays them out (Nodes 2.0), once they have run: rows of text are higher there, the
 * pack's name and a button stand at the end, and what the node says takes as many lines as it has.
 */
const PAGE_HEIGHTS: Readonly<Record<string, number>> = {
  FlowstepDataset: 120,
  FlowstepTrainTeacher: 120,
  FlowstepLoadModel: 80,
  FlowstepOnlineFlow: 60,
  FlowstepDistill: 150,
  FlowstepOneStepSampler: 110,
  FlowstepTeacherSampler: 120,
  FlowstepLossPlot: 60,
  FlowstepEvaluate: 350,
  FlowstepSaveModel: 80,
};

/** Pixels that a node stands lower than its row, so that a link to the node behind it passes above. */
const DROPS: Readonly<Record<string, number>> = { FlowstepOnlineFlow: 100 };

/** Sizes of the canvas, in pixels. */
const SLOT = 20;
const WIDGET = 24;
const TITLE = 30;
const WIDTH = 330;
const NOTE_HEIGHT = 180;
const NODE_GAP = 60;
const GROUP_GAP = 60;
const GROUP_SIDE = 20;
const GROUP_TOP = 50;

const registry = allNodes();
const types = readObjectInfo(
  Object.fromEntries(registry.list().map((node) => [node.id, objectInfo(node)])),
  'the node registry',
);

interface Box {
  x: number;
  y: number;
  readonly width: number;
  readonly height: number;
}

/** A node's box with the height that it may come to have. */
interface NodeBox extends Box {
  readonly room: number;
}

function definitionOf(node: WorkflowNode) {
  const definition = registry.find(node.type)?.definition;
  if (!definition) throw new Error(`node ${node.id}: there is no node ${node.type}`);
  return definition;
}

/** A node's widgets with the slots that plain inputs have. */
function controlsOf(node: WorkflowNode) {
  const values = Object.fromEntries(
    Object.entries(node.inputs).flatMap(([name, input]) =>
      input.kind === 'constant' ? [[name, input.value]] : [],
    ),
  );
  const saved = { id: node.id, type: node.type, mode: 0, widgets_values: values };
  return readControls(saved, types.find(node.type)!);
}

function sources(node: WorkflowNode): string[] {
  return Object.values(node.inputs).flatMap((input) =>
    input.kind === 'link' ? [input.link.node] : [],
  );
}

/** How many links lie before each key at most. */
function depths(before: ReadonlyMap<string, readonly string[]>): Map<string, number> {
  const found = new Map<string, number>();
  const depth = (key: string): number => {
    const known = found.get(key);
    if (known !== undefined) return known;
    const value = Math.max(-1, ...(before.get(key) ?? []).map(depth)) + 1;
    found.set(key, value);
    return value;
  };
  for (const key of before.keys()) depth(key);
  return found;
}

function groupOf(workflow: Workflow, node: WorkflowNode): string {
  const own = GROUPS[node.type];
  if (own !== undefined) return own;
  const source = workflow.get(sources(node)[0] ?? '');
  return source ? groupOf(workflow, source) : 'Start';
}

/** As the front end computes it: advanced widgets are hidden behind a button. */
function heightOf(node: WorkflowNode): number {
  const { sockets, widgets } = controlsOf(node);
  const hidden = definitionOf(node).inputs.filter(({ advanced }) => advanced).length;
  const all = [...widgets.values()].reduce((sum, widget) => sum + widget.entries, 0);
  const entries = all - hidden + (hidden > 0 ? 1 : 0);
  const slots = Math.max(sockets.length - widgets.size, definitionOf(node).outputs.length);
  const border = entries > 0 ? 14 : 6;
  return slots * SLOT + entries * WIDGET + border + (PICTURE_HEIGHTS[node.type] ?? 0);
}

/** Boxes of a group's nodes from its top left corner; each node no higher than what feeds it. */
function arrangeGroup(nodes: readonly WorkflowNode[]): Map<string, NodeBox> {
  const ids = new Set(nodes.map((node) => node.id));
  const before = new Map(
    nodes.map((node) => [node.id, sources(node).filter((id) => ids.has(id))] as const),
  );
  const columns = depths(before);
  const free = new Map<number, number>();
  const rows = new Map<string, number>();
  const boxes = new Map<string, NodeBox>();
  const inOrder = nodes.toSorted((a, b) => columns.get(a.id)! - columns.get(b.id)!);
  for (const node of inOrder) {
    const column = columns.get(node.id)!;
    const height = heightOf(node);
    const room = height + (PAGE_HEIGHTS[node.type] ?? 0);
    const feeds = before.get(node.id)!.map((id) => rows.get(id)!);
    const row = Math.max(free.get(column) ?? TITLE, ...feeds.slice(0, 1));
    const y = row + (DROPS[node.type] ?? 0);
    rows.set(node.id, row);
    free.set(column, y + room + NODE_GAP + TITLE);
    boxes.set(node.id, { x: column * (WIDTH + NODE_GAP), y, width: WIDTH, height, room });
  }
  return boxes;
}

function around(boxes: readonly NodeBox[]): Box {
  const left = Math.min(...boxes.map((box) => box.x)) - GROUP_SIDE;
  const top = Math.min(...boxes.map((box) => box.y)) - TITLE - GROUP_TOP;
  const right = Math.max(...boxes.map((box) => box.x + box.width)) + GROUP_SIDE;
  const bottom = Math.max(...boxes.map((box) => box.y + box.room)) + GROUP_SIDE;
  return { x: left, y: top, width: right - left, height: bottom - top };
}

function grouped<Item>(items: Iterable<Item>, keyOf: (item: Item) => string): Map<string, Item[]> {
  const groups = new Map<string, Item[]>();
  for (const item of items) {
    const key = keyOf(item);
    groups.set(key, [...(groups.get(key) ?? []), item]);
  }
  return groups;
}

/** All nodes in place, and the frames of their groups by title. */
function arrange(workflow: Workflow): { boxes: Map<string, Box>; frames: Map<string, Box> } {
  const groups = grouped(workflow.values(), (node) => groupOf(workflow, node));
  const before = new Map(
    [...groups].map(([title, nodes]) => {
      const feeding = nodes.flatMap(sources).map((id) => groupOf(workflow, workflow.get(id)!));
      return [title, [...new Set(feeding)].filter((name) => name !== title)] as const;
    }),
  );
  const boxes = new Map<string, NodeBox>();
  const frames = new Map<string, Box>();
  let x = 0;
  const columns = grouped(depths(before), ([, depth]) => String(depth));
  for (const [, members] of [...columns].toSorted(([a], [b]) => Number(a) - Number(b))) {
    let y = 0;
    let right = x;
    for (const [title] of members) {
      const inside = arrangeGroup(groups.get(title)!);
      for (const [id, box] of inside) {
        boxes.set(id, { ...box, x: box.x + x + GROUP_SIDE, y: box.y + y + GROUP_TOP });
      }
      const frame = around([...inside.keys()].map((id) => boxes.get(id)!));
      frames.set(title, frame);
      y = frame.y + frame.height + GROUP_GAP;
      right = Math.max(right, frame.x + frame.width);
    }
    x = right + GROUP_GAP;
  }
  return { boxes, frames };
}

type Note = Readonly<Record<string, unknown>>;

function notesOf(json: unknown): Note[] {
  const { nodes = [] } = json as { nodes?: Note[] };
  return nodes.filter(({ type }) => type === 'Note' || type === 'MarkdownNote');
}

/** The file as the front end saves it. */
function uiForm(name: string, workflow: Workflow, notes: readonly Note[]) {
  const { boxes, frames } = arrange(workflow);
  const links: [number, number, number, number, number, string][] = [];
  const depth = depths(new Map([...workflow].map(([id, node]) => [id, sources(node)])));
  const order = [...workflow.keys()].toSorted((a, b) => depth.get(a)! - depth.get(b)!);
  const numbered = [...workflow.values()].map((node) => {
    const definition = definitionOf(node);
    const { sockets, widgets } = controlsOf(node);
    const plain = sockets.filter((socket) => !widgets.has(socket.name));
    const inputs = plain.map(({ name: input, type }, slot) => {
      const value = node.inputs[input];
      if (value?.kind !== 'link') return { name: input, type, link: null };
      const link = links.length + 1;
      const { node: origin, slot: originSlot } = value.link;
      links.push([link, Number(origin), originSlot, Number(node.id), slot, String(type)]);
      return { name: input, type, link };
    });
    return { node, definition, inputs, widgets };
  });
  const nodes = numbered.map(({ node, definition, inputs, widgets }) => {
    const { x, y, width, height } = boxes.get(node.id)!;
    return {
      id: Number(node.id),
      type: node.type,
      pos: [x, y],
      size: [width, height],
      flags: {},
      order: notes.length + order.indexOf(node.id),
      mode: 0,
      inputs,
      outputs: definition.outputs.map((output, slot) => {
        const ids = links.filter(([, id, from]) => id === Number(node.id) && from === slot);
        return {
          name: output.name,
          type: output.type,
          links: ids.length > 0 ? ids.map(([id]) => id) : null,
        };
      }),
      ...(node.title !== undefined &&
        node.title !== definition.displayName && { title: node.title }),
      properties: { 'Node name for S&R': node.type },
      widgets_values: [...widgets.values()].flatMap(({ value, entries }) =>
        entries > 1 ? [value, 'fixed'] : [value],
      ),
    };
  });
  const lastNode = Math.max(...nodes.map((node) => node.id));
  const placed = notes.map((note, i) => ({
    ...note,
    id: lastNode + 1 + i,
    pos: [i * (WIDTH * 2 + NODE_GAP), -NOTE_HEIGHT - GROUP_GAP],
    size: [WIDTH * 2, NOTE_HEIGHT],
    order: i,
  }));
  return {
    id: uuidOf(name),
    revision: 0,
    last_node_id: lastNode + notes.length,
    last_link_id: links.length,
    nodes: [...placed, ...nodes],
    links,
    groups: [...frames].map(([title, { x, y, width, height }], i) => ({
      id: i + 1,
      title,
      bounding: [x, y, width, height],
      color: '#3f789e',
      font_size: 24,
      flags: {},
    })),
    config: {},
    // Clear of the front end's bars at its left and its top.
    extra: { ds: { scale: 0.5, offset: [180, NOTE_HEIGHT + GROUP_GAP + TITLE + 160] } },
    version: 0.4,
  };
}

/** The same for the same name, so that laying out again changes nothing. */
function uuidOf(name: string): string {
  const hex = createHash('sha256').update(name).digest('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), `4${hex.slice(13, 16)}`, `8${hex.slice(17, 20)}`]
    .concat(hex.slice(20, 32))
    .join('-');
}

for (const file of process.argv.slice(2)) {
  const { json } = await readWorkflowFile(file);
  const ui = uiForm(basename(file), parseWorkflow(json, registry, file), notesOf(json));
  await writeFile(file, `${JSON.stringify(ui, null, 2)}\n`);
}
