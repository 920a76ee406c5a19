/** @file Makes the reference part of docs/protocol.md and docs/protocol.schema.json of the schemas: `npm run docs:protocol`. */
import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { FrameHeaderSchema } from '../src/bridge/protocol/frame.ts';
import * as limits from '../src/bridge/protocol/limits.ts';
import {
  CLOSE_CODES,
  ClientMessageSchema,
  ServerMessageSchema,
} from '../src/bridge/protocol/messages.ts';
import { isRetryable } from '../src/bridge/session/wire-error.ts';
import { ERROR_CODES, type ErrorCode } from '../src/errors.ts';
import { ERROR_MEANINGS } from './error-meanings.ts';

export const PAGE = fileURLToPath(new URL('../docs/protocol.md', import.meta.url));
export const SCHEMA = fileURLToPath(new URL('../docs/protocol.schema.json', import.meta.url));

/** Above it the page is written by hand. */
const MARK = '<!-- Below this line: made by `npm run docs:protocol` -->';

/** The part of JSON Schema that our schemas lead to. */
interface JsonSchema {
  readonly type?: string | readonly string[];
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
  readonly items?: JsonSchema;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly additionalProperties?: JsonSchema | boolean;
  readonly required?: readonly string[];
  readonly description?: string;
}

const CLOSE_MEANINGS: Record<keyof typeof CLOSE_CODES, string> = {
  stopping: 'the server stops',
  tooLarge: 'a message was over the limit',
  tooSlow: 'the client read nothing for too long; it may come back and attach',
  protocol: 'the first message was no hello of this version',
  noHello: 'no hello came in time',
};

/** The page with its lower part made anew. */
export function protocolPage(page: string): string {
  const byHand = page.split(MARK, 1)[0]!;
  return `${byHand}${MARK}\n\n${reference()}\n`;
}

/** One JSON Schema for all that travels. */
export function protocolSchema(): string {
  const schema = {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'Flowstep wire protocol',
    $defs: {
      clientMessage: jsonOf(ClientMessageSchema),
      serverMessage: jsonOf(ServerMessageSchema),
      frameHeader: jsonOf(FrameHeaderSchema),
    },
  };
  return `${JSON.stringify(schema, null, 2)}\n`;
}

function reference(): string {
  return [
    '## Messages of the client',
    messageTables(ClientMessageSchema, 'type'),
    '## Messages of the server',
    messageTables(ServerMessageSchema, 'type'),
    '## Headers of binary frames',
    messageTables(FrameHeaderSchema, 'kind'),
    '## Limits',
    limitTable(),
    '## Close codes',
    closeTable(),
    '## Error codes',
    errorTable(),
  ].join('\n\n');
}

function messageTables(schema: z.ZodType, tag: 'type' | 'kind'): string {
  const { oneOf = [] } = jsonOf(schema);
  return oneOf
    .map((message) => {
      const { [tag]: name, ...fields } = message.properties ?? {};
      const rows = Object.entries(fields).map(([field, value]) => {
        const optional = message.required?.includes(field) ? '' : '?';
        return `| \`${field}${optional}\` | ${cell(typeText(value))} | ${cell(value.description ?? '')} |`;
      });
      const table = ['| member | type | meaning |', '|---|---|---|', ...rows].join('\n');
      return `### ${String(name?.const)}\n${rows.length > 0 ? table : 'No members.'}`;
    })
    .join('\n\n');
}

function typeText(schema: JsonSchema): string {
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(' | ');
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices) return choices.map(typeText).join(' | ');
  switch (schema.type) {
    case 'array':
      return `list of ${typeText(schema.items ?? {})}`;
    case 'object':
      return schema.properties ? objectText(schema) : mapText(schema);
    default:
      return [schema.type ?? 'any JSON'].flat().join(' | ');
  }
}

/** A node definition has its own place; its members would fill the line. */
const MANY_MEMBERS = 6;

function objectText({ properties = {}, required = [] }: JsonSchema): string {
  const names = Object.keys(properties).map((n) => (required.includes(n) ? n : `${n}?`));
  return names.length > MANY_MEMBERS ? 'object' : `{${names.join(', ')}}`;
}

function mapText({ additionalProperties }: JsonSchema): string {
  const value = typeof additionalProperties === 'object' ? typeText(additionalProperties) : 'any';
  return `object of ${value}`;
}

function limitTable(): string {
  // A module's names come in no order that all loaders share.
  const entries = Object.entries(limits).sort(([a], [b]) => (a < b ? -1 : 1));
  const rows = entries.flatMap(([name, value]) =>
    typeof value === 'number' ? [`| \`${name}\` | ${value.toLocaleString('en')} |`] : [],
  );
  return ['| limit | value |', '|---|---|', ...rows].join('\n');
}

function closeTable(): string {
  const names = Object.keys(CLOSE_CODES) as (keyof typeof CLOSE_CODES)[];
  const rows = names.map((name) => `| ${CLOSE_CODES[name]} | ${CLOSE_MEANINGS[name]} |`);
  return ['| code | meaning |', '|---|---|', ...rows].join('\n');
}

function errorTable(): string {
  const codes = Object.keys(ERROR_CODES) as ErrorCode[];
  const rows = codes.map((code) => {
    const again = isRetryable(code) ? 'yes' : '';
    return `| \`${code}\` | ${ERROR_CODES[code]} | ${again} | ${cell(ERROR_MEANINGS[code])} |`;
  });
  return ['| code | who must act | retryable | meaning |', '|---|---|---|---|', ...rows].join('\n');
}

function jsonOf(schema: z.ZodType): JsonSchema {
  const { $schema: _, ...rest } = z.toJSONSchema(schema);
  return rest as JsonSchema;
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await writeFile(PAGE, protocolPage(await readFile(PAGE, 'utf8')));
  await writeFile(SCHEMA, protocolSchema());
}
