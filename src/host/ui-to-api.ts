/** @file From the front end's form to the API form, as ComfyUI's own front end converts when Run is pressed. */
import { FlowstepError, type Issue } from '../errors.ts';
import type { NodeTypes } from './object-info.ts';
import {
  type Graph,
  type GraphNode,
  type LoadedFile,
  loadGraphs,
  MODE_BYPASSED,
  MODE_MUTED,
} from './ui-graph.ts';
import { withoutGroupNodes } from './ui-group-nodes.ts';
import { innerWidget } from './ui-promoted.ts';
import { withUniqueIds } from './ui-renumber.ts';
import {
  createResolver,
  executionId,
  primitiveAt,
  type Resolver,
  type Scope,
} from './ui-resolve.ts';
import { readUiWorkflow } from './ui-schema.ts';
import { type Moment, replaceInText, resolvePrompt } from './ui-text.ts';
import type { Widget } from './ui-widgets.ts';

/** What the front end sends to be executed; nodes whose type is not installed lack class_type. */
export type ConvertedWorkflow = Record<string, ConvertedNode>;

interface ConvertedNode {
  readonly inputs: Record<string, unknown>;
  readonly class_type?: string;
  readonly _meta: { readonly title?: string };
}

export interface Conversion {
  readonly api: ConvertedWorkflow;
  /** Types that are not installed, by id of the node. */
  readonly missing: ReadonlyMap<string, string>;
}

/** Converts; everything that cannot be converted is reported at once as WORKFLOW_INVALID. */
export function convertUiWorkflow(
  json: unknown,
  types: NodeTypes,
  file: string,
  moment: Moment = { now: new Date(), random: Math.random },
): Conversion {
  const saved = withoutGroupNodes(withUniqueIds(readUiWorkflow(json, file)), types);
  const loaded = loadGraphs(saved, types);
  const converter = new Converter(loaded, moment);
  converter.addNodes(converter.resolver.root);
  const { api, missing, issues } = converter;
  if (issues.length > 0) {
    throw new FlowstepError('WORKFLOW_INVALID', `${file} cannot be converted`, { file, issues });
  }
  return { api, missing };
}

/** Texts of these inputs name a file, in which %Node.widget% stands for a value. */
const FILE_NAME_INPUT = 'filename_prefix';
const FILE_WRITERS: ReadonlySet<string> = new Set([
  ...['SaveImage', 'SaveAnimatedPNG', 'SaveAnimatedWEBP', 'SaveVideo', 'SaveWEBM', 'SaveAudio'],
  ...['SaveGLB', 'SaveLatent', 'CLIPSave', 'VAESave', 'ModelSave', 'LoraSave'],
]);

class Converter {
  readonly api: ConvertedWorkflow = {};
  readonly missing = new Map<string, string>();
  readonly issues: Issue[] = [];
  readonly resolver: Resolver;
  readonly #graphs: readonly Graph[];
  readonly #moment: Moment;

  constructor(loaded: LoadedFile, moment: Moment) {
    this.resolver = createResolver(loaded);
    this.#graphs = [loaded.root, ...loaded.subgraphs.values()];
    this.#moment = moment;
  }

  /** Adds the nodes of a graph and of the subgraphs in it. */
  addNodes(scope: Scope): void {
    for (const node of scope.graph.nodes.values()) {
      const isOff = node.saved.mode === MODE_MUTED || node.saved.mode === MODE_BYPASSED;
      if (node.kind === 'subgraph') {
        // Further in, the front end goes by the modes of the inner nodes alone.
        if (!isOff || scope.host) this.#addSubgraph(scope, node);
      } else if (node.kind !== 'virtual' && !isOff) this.#addNode(scope, node);
    }
  }

  #addSubgraph(scope: Scope, instance: GraphNode): void {
    const inside = this.resolver.enter(scope, instance);
    if (inside) this.addNodes(inside);
    else {
      const node = executionId(scope, instance.id);
      this.issues.push({ node, message: 'the subgraph contains itself' });
    }
  }

  #addNode(scope: Scope, node: GraphNode): void {
    const id = executionId(scope, node.id);
    const { type } = node.saved;
    const inputs: Record<string, unknown> = {};
    for (const [name, widget] of node.widgets) {
      const value = this.#currentValue(scope, node, name, widget);
      if (value !== undefined) inputs[name] = this.#queued(type, name, { ...widget, value });
    }
    for (const socket of node.sockets) {
      const found = this.resolver.resolveInput(scope, socket);
      const widget = node.widgets.get(socket.name);
      if (found.kind === 'broken') {
        this.issues.push({ node: id, field: socket.name, message: found.why });
      } else if (found.kind === 'link') {
        inputs[socket.name] = [found.node, found.slot];
      } else if (found.kind === 'promoted' && widget) {
        inputs[socket.name] = listed(found.value, widget);
      }
    }
    const _meta = node.title === undefined ? {} : { title: node.title };
    if (node.kind === 'missing') {
      this.missing.set(id, type);
      this.api[id] = { inputs, _meta };
    } else this.api[id] = { inputs, class_type: type, _meta };
  }

  /** A widget's value when Run is pressed: primitives are asked first. */
  #currentValue(scope: Scope, node: GraphNode, name: string, widget: Widget): unknown {
    const socket = node.sockets.find((candidate) => candidate.name === name);
    const primitive = socket && primitiveAt(scope, socket);
    if (primitive) {
      const { value, isTemplate } = primitive;
      return isTemplate && typeof value === 'string' ? this.#filledIn(value) : value;
    }
    const key = innerWidget(node.id, name);
    const promoted = scope.host?.promoted.byInner;
    return promoted?.has(key) ? promoted.get(key) : widget.value;
  }

  /** A widget's value as it is sent. */
  #queued(type: string, name: string, widget: Widget): unknown {
    const { value, dynamicPrompts } = widget;
    if (typeof value !== 'string') return listed(value, widget);
    if (dynamicPrompts) return resolvePrompt(value, this.#moment.random);
    const isFileName = name === FILE_NAME_INPUT && FILE_WRITERS.has(type);
    return isFileName ? this.#filledIn(value) : value;
  }

  #filledIn(text: string): string {
    return replaceInText(text, this.#moment.now, (node, widget) => this.#find(node, widget));
  }

  /** A widget's value by its node's search name, or else by its title. */
  #find(name: string, widget: string): unknown {
    const nodes = this.#graphs.flatMap((graph) => [...graph.nodes.values()]);
    const node =
      nodes.find(({ saved }) => saved.properties?.['Node name for S&R'] === name) ??
      nodes.find(({ title }) => title === name);
    return node?.widgets.get(widget)?.value;
  }
}

/** A bare list would read as a link. */
function listed(value: unknown, { type }: Widget): unknown {
  if (!Array.isArray(value)) return value;
  return type === 'CURVE' ? { __type__: 'CURVE', __value__: value } : { __value__: value };
}
