/** @file The form that ComfyUI's front end saves: nodes with positions and widget values, links beside them. */
import { z } from 'zod';
import { FlowstepError } from '../errors.ts';

const IdSchema = z.union([z.int(), z.string()]);

const SlotSchema = z.looseObject({
  name: z.string(),
  /** A type name, or what front-end-only nodes put there (0, a list). */
  type: z.unknown().optional(),
  link: z.int().nullish(),
});

const NodeSchema = z.looseObject({
  id: IdSchema,
  type: z.string(),
  mode: z.int().default(0),
  title: z.string().nullish(),
  inputs: z.array(SlotSchema).nullish(),
  outputs: z.array(z.looseObject({ name: z.string(), type: z.unknown().optional() })).nullish(),
  properties: z.record(z.string(), z.unknown()).nullish(),
  widgets_values: z.union([z.array(z.unknown()), z.record(z.string(), z.unknown())]).nullish(),
});

/** Version 0.4 writes links as tuples, version 1 (and subgraphs) as objects. */
const LinkSchema = z.union([
  z
    .tuple([z.int(), IdSchema, z.int(), IdSchema, z.int()], z.unknown())
    .transform(([id, origin, slot, target, targetSlot]) => ({
      id,
      origin: String(origin),
      slot,
      target: String(target),
      targetSlot,
    })),
  z
    .looseObject({
      id: z.int(),
      origin_id: IdSchema,
      origin_slot: z.int(),
      target_id: IdSchema.default(''),
      target_slot: z.int().default(0),
    })
    .transform((link) => ({
      id: link.id,
      origin: String(link.origin_id),
      slot: link.origin_slot,
      target: String(link.target_id),
      targetSlot: link.target_slot,
    })),
]);

/** Old files keep the links of a map that lost entries as null. */
const LinksSchema = z
  .array(LinkSchema.nullable())
  .default([])
  .transform((links) => links.filter((link) => link !== null));

const SubgraphSchema = z.looseObject({
  id: z.string(),
  nodes: z.array(NodeSchema).default([]),
  links: LinksSchema,
  inputs: z.array(z.looseObject({ name: z.string() })).default([]),
});

/** The inner nodes of a legacy group; links are [node index, slot, node index, slot, ...]. */
const GroupNodeSchema = z.looseObject({
  nodes: z.array(NodeSchema.extend({ id: IdSchema.default(-1) })),
  links: z.array(z.array(z.unknown())).default([]),
  external: z.array(z.array(z.unknown())).nullish(),
  config: z.record(z.string(), z.unknown()).nullish(),
});

const UiWorkflowSchema = z.looseObject({
  nodes: z.array(NodeSchema),
  links: LinksSchema,
  last_node_id: z.int().nullish(),
  definitions: z.looseObject({ subgraphs: z.array(SubgraphSchema).default([]) }).nullish(),
  extra: z.looseObject({ groupNodes: z.record(z.string(), GroupNodeSchema).nullish() }).nullish(),
});

export type UiNode = z.infer<typeof NodeSchema>;
export type UiLink = z.infer<typeof LinkSchema>;
export type UiSubgraph = z.infer<typeof SubgraphSchema>;
export type UiGroupNode = z.infer<typeof GroupNodeSchema>;

/** A file as it was saved, both versions alike. */
export interface UiFile {
  readonly nodes: readonly UiNode[];
  readonly links: readonly UiLink[];
  readonly subgraphs: readonly UiSubgraph[];
  readonly groupNodes: ReadonlyMap<string, UiGroupNode>;
  /** The highest node id that was ever given. */
  readonly lastNodeId: number;
}

/** True when the JSON is in the front end's form rather than in the API form. */
export function isUiWorkflow(json: unknown): boolean {
  return typeof json === 'object' && json !== null && 'nodes' in json && Array.isArray(json.nodes);
}

/** Reads both versions of the form; throws WORKFLOW_INVALID with every issue. */
export function readUiWorkflow(json: unknown, file: string): UiFile {
  const parsed = UiWorkflowSchema.safeParse(json);
  if (!parsed.success) {
    throw new FlowstepError('WORKFLOW_INVALID', `${file} is a damaged workflow`, {
      file,
      issues: parsed.error.issues.map((i) => ({ message: `${i.path.join('.')}: ${i.message}` })),
      hint: 'Open it in ComfyUI and save it again.',
    });
  }
  const { nodes, links, definitions, extra, last_node_id } = parsed.data;
  const numbers = nodes.map((node) => Number(node.id)).filter((id) => Number.isInteger(id));
  return {
    nodes,
    links,
    subgraphs: definitions?.subgraphs ?? [],
    groupNodes: new Map(Object.entries(extra?.groupNodes ?? {})),
    lastNodeId: numbers.reduce((most, id) => Math.max(most, id), last_node_id ?? 0),
  };
}
