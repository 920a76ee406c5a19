/** @file One declaration per node: its definition, its types and its checks all come from the zod schema. */
import type { z } from 'zod';
import type { NodeDefinition } from '../bridge/protocol/node-definition.ts';
import { FlowstepError } from '../errors.ts';
import { checkInputs } from './check-inputs.ts';
import { deriveInputs, deriveOutputs } from './derive-definition.ts';
import type { NodeContext } from './node-context.ts';

/** What running a node gave. */
export interface NodeResult<Outputs = Readonly<Record<string, unknown>>> {
  /** By output name; an output may be left out with the reason in `blocked`. */
  readonly outputs: Outputs;
  /** Why an output that is not there is not there, by output name. */
  readonly blocked?: { readonly [Name in keyof Outputs]?: string };
  /** Files written, relative to the output folder, with forward slashes. */
  readonly files?: readonly string[];
}

/** A node as hosts see it, its input and output types erased. */
export interface FlowNode {
  readonly definition: NodeDefinition;
  readonly inputs: z.ZodObject;
  /** Checks `values` against the schema and fills in defaults; throws WORKFLOW_INVALID with every issue. */
  readInputs(values: Readonly<Record<string, unknown>>): Record<string, unknown>;
  /** True when an input may name something outside of the graph, so that `fingerprint` gives something. */
  readonly readsFiles: boolean;
  /**
   * What the result depends on besides the inputs, as text; undefined when there is nothing. Inputs that come through links may
   * be left out: who asks knows by other means when these change.
   */
  fingerprint(
    values: Readonly<Record<string, unknown>>,
    context: NodeContext,
  ): Promise<string | undefined>;
  /** Reads the inputs, then executes. */
  run(values: Readonly<Record<string, unknown>>, context: NodeContext): Promise<NodeResult>;
}

type OutputShape = Readonly<Record<string, z.ZodType>>;

/** Values by output name; only those whose schema is optional may be missing. */
type OutputValues<Shape extends OutputShape> = z.infer<z.ZodObject<Shape>>;

/** Inputs with defaults filled in; those without a default are there only where they are known. */
export type KnownInputs<Inputs extends z.ZodObject> = {
  readonly [Name in keyof z.output<Inputs>]:
    | z.output<Inputs>[Name]
    | (undefined extends z.input<Inputs>[Name & keyof z.input<Inputs>] ? never : undefined);
};

interface NodeDeclaration<Inputs extends z.ZodObject, Outputs extends OutputShape> {
  /** Unique and stable: saved workflows refer to it. */
  readonly id: string;
  readonly displayName: string;
  readonly category: string;
  readonly description: string;
  /** Words of other packs and papers for the same thing. */
  readonly searchAliases?: readonly [string, ...string[]];
  /** Every field carries `.meta({ tooltip })`; see derive-definition.ts for the other keys. */
  readonly inputs: Inputs;
  /** In slot order. */
  readonly outputs: Outputs;
  readonly outputNode?: boolean;
  /**
   * For nodes whose inputs name something outside the graph, such as a file: a text that changes
   * when that changes. A result is used again only while it stays the same. Undefined when these
   * inputs name nothing.
   */
  fingerprint?(inputs: KnownInputs<Inputs>, context: NodeContext): Promise<string | undefined>;
  execute(
    inputs: z.output<Inputs>,
    context: NodeContext,
  ): Promise<NodeResult<OutputValues<Outputs>>>;
}

/** Makes a node of its declaration; throws a bug when a schema cannot be shown as node inputs. */
export function defineNode<Inputs extends z.ZodObject, Outputs extends OutputShape>(
  node: NodeDeclaration<Inputs, Outputs>,
): FlowNode {
  const requireValid = (inputs: z.ZodObject, values: Readonly<Record<string, unknown>>) => {
    const issues = checkInputs(inputs, values);
    if (issues.length > 0) {
      const what = issues.map((i) => `${i.field}: ${i.message}`).join('; ');
      throw new FlowstepError('WORKFLOW_INVALID', `${node.displayName}: ${what}`, { issues });
    }
  };
  const readInputs = (values: Readonly<Record<string, unknown>>) => {
    requireValid(node.inputs, values);
    return node.inputs.parse(values);
  };
  const known = node.inputs.partial();
  const readKnown = (values: Readonly<Record<string, unknown>>) => {
    requireValid(known, values);
    // Zod cannot tell the fields of a type that is only known to be an object.
    return known.parse(values) as KnownInputs<Inputs>;
  };
  return {
    definition: {
      id: node.id,
      displayName: node.displayName,
      category: node.category,
      description: node.description,
      ...(node.searchAliases && { searchAliases: [...node.searchAliases] }),
      inputs: deriveInputs(node.id, node.inputs),
      outputs: deriveOutputs(node.id, node.outputs),
      outputNode: node.outputNode ?? false,
    },
    inputs: node.inputs,
    readInputs,
    readsFiles: node.fingerprint !== undefined,
    fingerprint: async (values, context) => node.fingerprint?.(readKnown(values), context),
    run: async (values, context) => node.execute(readInputs(values), context),
  };
}
