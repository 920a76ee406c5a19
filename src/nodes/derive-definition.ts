/** @file Turns zod schemas into node definitions, so that nothing about an input is written twice. */
import { z } from 'zod';
import {
  type InputDefinition,
  InputDefinitionSchema,
  type OutputDefinition,
  OutputDefinitionSchema,
  SEED_CONTROLS,
} from '../bridge/protocol/node-definition.ts';
import { bug } from '../errors.ts';

/**
 * The part of a field's JSON schema that we read. `tooltip`, `step`, `link`, `advanced` and
 * `controlAfterGenerate` come from `.meta()`, the rest from the schema itself.
 */
const FieldSchema = z.object({
  type: z.string().optional(),
  enum: z.array(z.string()).optional(),
  default: z.union([z.string(), z.number(), z.boolean()]).optional(),
  minimum: z.number().optional(),
  maximum: z.number().optional(),
  tooltip: z.string().min(1),
  step: z.number().optional(),
  /** Name of the type that a link must carry; the field is a socket then, not a widget. */
  link: z.string().optional(),
  controlAfterGenerate: z.enum(SEED_CONTROLS).optional(),
  advanced: z.boolean().optional(),
});

type Field = z.infer<typeof FieldSchema>;

function readField(where: string, schema: z.ZodType): Field {
  const json = z.toJSONSchema(schema, { unrepresentable: 'any', io: 'input' });
  const field = FieldSchema.safeParse(json);
  if (!field.success) throw bug(`${where}: ${z.prettifyError(field.error)}`);
  return field.data;
}

function widgetType(where: string, field: Field): string {
  if (field.link !== undefined) return field.link;
  if (field.enum !== undefined) return 'COMBO';
  switch (field.type) {
    case 'integer':
      return 'INT';
    case 'number':
      return 'FLOAT';
    case 'string':
      return 'STRING';
    case 'boolean':
      return 'BOOLEAN';
    default:
      throw bug(
        `${where}: no widget for ${field.type ?? 'this schema'}; tag it with meta({ link })`,
      );
  }
}

function deriveInput(where: string, name: string, schema: z.ZodType): InputDefinition {
  const field = readField(where, schema);
  const type = widgetType(where, field);
  if (
    (type === 'INT' || type === 'FLOAT') &&
    (field.minimum === undefined || field.maximum === undefined)
  ) {
    throw bug(`${where}: numbers need bounds, hosts show them`);
  }
  const definition: Record<string, unknown> = {
    name,
    type,
    required: !schema.safeParse(undefined).success,
    tooltip: field.tooltip,
    default: field.default,
    min: field.minimum,
    max: field.maximum,
    step: field.step,
    options: field.enum,
    controlAfterGenerate: field.controlAfterGenerate,
    advanced: field.advanced,
  };
  for (const key of Object.keys(definition)) {
    if (definition[key] === undefined) delete definition[key];
  }
  return InputDefinitionSchema.parse(definition);
}

/** The inputs of a node, in order; required ones must be declared first, as hosts put them first. */
export function deriveInputs(node: string, inputs: z.ZodObject): InputDefinition[] {
  const definitions = Object.entries(inputs.shape).map(([name, schema]) =>
    deriveInput(`${node}.${name}`, name, schema as z.ZodType),
  );
  const firstFree = definitions.findIndex((d) => !d.required);
  const late = firstFree < 0 ? undefined : definitions.slice(firstFree).find((d) => d.required);
  if (late) throw bug(`${node}.${late.name}: declare required inputs before the others`);
  return definitions;
}

/** The outputs of a node, in slot order. */
export function deriveOutputs(
  node: string,
  outputs: Readonly<Record<string, z.ZodType>>,
): OutputDefinition[] {
  return Object.entries(outputs).map(([name, schema]) => {
    const where = `${node} output ${name}`;
    const field = readField(where, schema);
    return OutputDefinitionSchema.parse({
      name,
      type: widgetType(where, field),
      tooltip: field.tooltip,
    });
  });
}
