/** @file The form that ComfyUI's front end saves: nodes with positions and widget values, links beside them. */
import { z } from 'zod';
import { FlowstepError } from '../errors.ts';

const IdSchema = z.union([z.int(), z.string()]);

const SlotSchema = z.looseObject({
  name: z.string(),
  /** A type name, or what front-end-only nodes put there (0, a list). */
  type: z.unknown(),
  link: z.int().nullish(),
});

const NodeSchema = z.looseObject({
  id: IdSchema,
  type: z.string(),
  mode: z.int().default(0),
  title: z.string().optional(),
  inputs: z.array(SlotSchema).nullish(),
  outputs: z.array(z.looseObject({ name: z.string(), type: z.unknown() })).nullish(),
  widgets_values: z.union([z.array(z.unknown()), z.record(z.string(), z.unknown())]).nullish(),
});

/** Version 0.4 writes links as tuples, version 1 as objects. */
const LinkSchema = z.union([
  z
    .tuple([z.int(), IdSchema, z.int(), IdSchema, z.int()], z.unknown())
    .transform(([id, origin, slot]) => ({ id, origin: String(origin), slot })),
  z
    .looseObject({ id: z.int(), origin_id: IdSchema, origin_slot: z.int() })
    .transform((link) => ({ id: link.id, origin: String(link.origin_id), slot: link.origin_slot })),
]);

const UiWorkflowSchema = z.looseObject({
  nodes: z.array(NodeSchema),
  links: z.array(LinkSchema.nullable()).default([]),
  definitions: z
    .looseObject({ subgraphs: z.array(z.looseObject({ id: z.string() })).default([]) })
    .optional(),
});

export type UiSlot = z.infer<typeof SlotSchema>;
export type UiNode = z.infer<typeof NodeSchema>;

export interface UiLink {
  readonly id: number;
  /** Id of the node that the link comes from. */
  readonly origin: string;
  readonly slot: number;
}

export interface UiGraph {
  readonly nodes: ReadonlyMap<string, UiNode>;
  readonly links: ReadonlyMap<number, UiLink>;
  /** Node types that stand for a subgraph. */
  readonly subgraphs: ReadonlySet<string>;
}

/** True when the JSON is in the front end's form rather than in the API form. */
export function isUiWorkflow(json: unknown): boolean {
  return typeof json === 'object' && json !== null && 'nodes' in json && Array.isArray(json.nodes);
}

/** Reads both versions of the form. */
export function readUiWorkflow(json: unknown, file: string): UiGraph {
  const parsed = UiWorkflowSchema.safeParse(json);
  if (!parsed.success) {
    throw new FlowstepError('WORKFLOW_INVALID', `${file} is a damaged workflow`, {
      file,
      issues: parsed.error.issues.map((i) => ({ message: `${i.path.join('.')}: ${i.message}` })),
      hint: 'Open it in ComfyUI and save it again.',
    });
  }
  const { nodes, links, definitions } = parsed.data;
  return {
    nodes: new Map(nodes.map((node) => [String(node.id), node])),
    links: new Map(links.filter((link) => link !== null).map((link) => [link.id, link])),
    subgraphs: new Set(definitions?.subgraphs.map((subgraph) => subgraph.id)),
  };
}
