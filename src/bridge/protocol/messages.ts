/** @file Every text message of the protocol, version 1. docs/protocol.md is generated from these schemas. */
import { z } from 'zod';
import { MAX_TENSORS } from './limits.ts';
import { NodeDefinitionSchema } from './node-definition.ts';
import { TensorSpecSchema } from './tensors.ts';

export const PROTOCOL_VERSION = 1;

/** What the websocket is opened for; the number is the protocol's. */
export const SUBPROTOCOL = `flowstep.v${PROTOCOL_VERSION}`;

/** Why the server closes a socket. Those below 4000 are the websocket standard's own. */
export const CLOSE_CODES = {
  stopping: 1001,
  tooLarge: 1009,
  tooSlow: 1013,
  protocol: 4400,
  noHello: 4408,
} as const;

/** Names one execution for all time; the client chooses it. */
export const KeySchema = z
  .string()
  .regex(/^[A-Za-z0-9._-]{1,128}$/)
  .describe('the execution');

const SeqSchema = z.int().min(1).describe('rises with each event of an execution, from 1');
const AfterSchema = z.int().min(0).describe('the last seq seen; 0 = everything that is kept');
const PeerSchema = z.strictObject({ name: z.string().max(100), version: z.string().max(100) });
const CountSchema = z.int().min(0);
const MeasureSchema = z.number().nullable();
const PingIdSchema = z.union([z.string().max(128), z.number()]);

export const HelloSchema = z.strictObject({
  type: z.literal('hello'),
  protocol: z.literal(PROTOCOL_VERSION).describe('version of the protocol'),
  client: PeerSchema,
  sharedFile: z
    .boolean()
    .optional()
    .describe('true: this client is on the same machine, and takes large tensors through a file'),
});

export const ExecuteSchema = z.strictObject({
  type: z.literal('execute'),
  key: KeySchema,
  node: z.string().min(1).max(200).describe('id of a node definition'),
  inputs: z
    .record(z.string(), z.unknown())
    .describe('by name; `{"$tensor": NAME}` stands for a tensor, at any depth'),
  tensors: z.array(TensorSpecSchema).max(MAX_TENSORS).describe('their frames follow'),
});

export const FingerprintSchema = ExecuteSchema.extend({
  type: z.literal('fingerprint'),
  inputs: ExecuteSchema.shape.inputs.describe(
    'as of `execute`; those that are not known are left out',
  ),
});

export const AttachSchema = z.strictObject({
  type: z.literal('attach'),
  key: KeySchema,
  after: AfterSchema,
});

export const CancelSchema = z.strictObject({ type: z.literal('cancel'), key: KeySchema });

export const DoneSchema = z.strictObject({ type: z.literal('done'), key: KeySchema });

export const PingSchema = z.strictObject({ type: z.literal('ping'), id: PingIdSchema });

export const PongSchema = z.strictObject({ type: z.literal('pong'), id: PingIdSchema });

export const ClientMessageSchema = z.discriminatedUnion('type', [
  HelloSchema,
  ExecuteSchema,
  FingerprintSchema,
  AttachSchema,
  CancelSchema,
  DoneSchema,
  PingSchema,
  PongSchema,
]);

export const ServerHelloSchema = z.strictObject({
  type: z.literal('hello'),
  protocol: z.literal(PROTOCOL_VERSION).describe('version of the protocol'),
  server: PeerSchema.extend({ pid: z.int() }),
  nodes: z.array(NodeDefinitionSchema),
  limits: z.strictObject({
    maxFrameBytes: CountSchema,
    maxTextBytes: CountSchema,
    chunkBytes: CountSchema,
    maxTensors: CountSchema,
    maxTensorBytes: CountSchema.describe('all tensors of one execution together'),
    sharedFileBytes: CountSchema.describe('tensors above this may go through a file'),
    sharedBytes: CountSchema.describe('size of each half of that file'),
  }),
  sharedFile: z
    .string()
    .optional()
    .describe('absolute path of the file that large tensors may go through on this socket'),
  graceSeconds: z
    .number()
    .describe('how long an execution goes on while no client is attached to it'),
});

const eventFields = { key: KeySchema, seq: SeqSchema };

export const AcceptedSchema = z.strictObject({
  type: z.literal('accepted'),
  ...eventFields,
  position: CountSchema.describe('executions before this one in the queue'),
});

export const StartedSchema = z.strictObject({ type: z.literal('started'), ...eventFields });

export const ProgressSchema = z.strictObject({
  type: z.literal('progress'),
  ...eventFields,
  step: CountSchema,
  steps: CountSchema,
  stepsPerSecond: MeasureSchema,
  etaSeconds: MeasureSchema,
  counts: z
    .string()
    .optional()
    .describe('what is counted, where it is no step of a training: `reading pictures`'),
});

export const MetricsSchema = z.strictObject({
  type: z.literal('metrics'),
  ...eventFields,
  step: CountSchema,
  metrics: z.record(z.string(), MeasureSchema).describe('by name; null = not finite'),
});

export const TextSchema = z.strictObject({
  type: z.literal('text'),
  ...eventFields,
  text: z.string().describe('notices for the user, the last ones a line each; nothing stops'),
});

export const ResultSchema = z.strictObject({
  type: z.literal('result'),
  ...eventFields,
  outputs: z.record(z.string(), z.unknown()).describe('by name, as `inputs` of `execute`'),
  blocked: z.record(z.string(), z.string()).describe('why an output is not there, by its name'),
  files: z.array(z.string()).describe('written, relative to the output folder'),
  tensors: z.array(TensorSpecSchema).describe('their frames came before'),
});

export const ErrorMessageSchema = z.strictObject({
  type: z.literal('error'),
  key: KeySchema.optional().describe('absent: of the connection, not of an execution'),
  seq: z
    .int()
    .min(0)
    .optional()
    .describe('0: the request was refused and there is no execution by it; else its last event'),
  code: z.string().regex(/^[A-Z][A-Z0-9_]*$/),
  message: z.string(),
  hint: z.string().optional().describe('what to do'),
  file: z.string().optional(),
  node: z.string().optional(),
  field: z.string().optional(),
  issues: z
    .array(
      z.strictObject({
        message: z.string(),
        node: z.string().optional(),
        field: z.string().optional(),
      }),
    )
    .optional()
    .describe('everything that is wrong, where there is more than one thing'),
  retryable: z.boolean().describe('true: the same request may go well later'),
});

export const ServerMessageSchema = z.discriminatedUnion('type', [
  ServerHelloSchema,
  AcceptedSchema,
  StartedSchema,
  ProgressSchema,
  MetricsSchema,
  TextSchema,
  ResultSchema,
  ErrorMessageSchema,
  PingSchema,
  PongSchema,
]);

export type ClientMessage = z.infer<typeof ClientMessageSchema>;
export type ServerMessage = z.infer<typeof ServerMessageSchema>;
export type ExecuteMessage = z.infer<typeof ExecuteSchema>;
export type FingerprintMessage = z.infer<typeof FingerprintSchema>;
export type HelloMessage = z.infer<typeof HelloSchema>;
export type ErrorMessage = z.infer<typeof ErrorMessageSchema>;
