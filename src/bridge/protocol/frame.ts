/** @file Binary frames: u32 little-endian header length, header as JSON in UTF-8, payload. */
import { z } from 'zod';
import { bug } from '../../errors.ts';
import { type Decoded, issuesText, parseJson, problem } from './decode.ts';
import {
  CHUNK_BYTES,
  HEADER_LENGTH_BYTES,
  MAX_FRAME_BYTES,
  MAX_HEADER_BYTES,
  SHARED_BYTES,
} from './limits.ts';
import { KeySchema } from './messages.ts';
import { TensorSpecSchema } from './tensors.ts';

/** A payload in a file that both sides have in memory. */
export const SharedRangeSchema = z.strictObject({
  file: z.string().min(1).max(4096),
  at: z
    .int()
    .min(0)
    .max(2 * SHARED_BYTES),
  length: z.int().min(1).max(CHUNK_BYTES),
});

export type SharedRange = z.infer<typeof SharedRangeSchema>;

/** Part of a tensor. */
export const TensorFrameSchema = z.strictObject({
  kind: z.literal('tensor'),
  key: KeySchema,
  name: TensorSpecSchema.shape.name.describe('of a tensor that the message lists'),
  offset: z.int().min(0).describe('bytes of the tensor before this payload'),
  shared: SharedRangeSchema.optional().describe(
    'there is no payload here, but `length` bytes at `at` of this file, which hello has named',
  ),
});

/** A picture of what is being made. */
export const PreviewFrameSchema = z.strictObject({
  kind: z.literal('preview'),
  key: KeySchema,
  seq: z.int().min(1),
  step: z.int().min(0),
  mime: z.string().max(100).describe('of the payload, such as image/png'),
  width: z.int().min(1),
  height: z.int().min(1),
});

export const FrameHeaderSchema = z.discriminatedUnion('kind', [
  TensorFrameSchema,
  PreviewFrameSchema,
]);

export type TensorFrame = z.infer<typeof TensorFrameSchema>;
export type PreviewFrame = z.infer<typeof PreviewFrameSchema>;
export type FrameHeader = z.infer<typeof FrameHeaderSchema>;

export interface Frame {
  readonly header: FrameHeader;
  /** A view of the bytes that were read. */
  readonly payload: Uint8Array;
}

/** What stands before the payload. A writer may send the two as fragments of one message, which copies nothing. */
export function encodeFrameHead(header: FrameHeader): Uint8Array {
  const json = new TextEncoder().encode(JSON.stringify(header));
  if (json.length > MAX_HEADER_BYTES) throw bug(`a frame header of ${json.length} bytes`);
  const head = new Uint8Array(HEADER_LENGTH_BYTES + json.length);
  new DataView(head.buffer).setUint32(0, json.length, true);
  head.set(json, HEADER_LENGTH_BYTES);
  return head;
}

/** The whole frame in one piece. */
export function encodeFrame(header: FrameHeader, payload: Uint8Array): Uint8Array {
  const head = encodeFrameHead(header);
  const frame = new Uint8Array(head.length + payload.length);
  frame.set(head);
  frame.set(payload, head.length);
  return frame;
}

/** Reads any bytes; what is wrong with them comes back as a problem, never as an exception. */
export function decodeFrame(bytes: Uint8Array): Decoded<Frame> {
  if (bytes.length > MAX_FRAME_BYTES) {
    return problem(
      'MESSAGE_TOO_LARGE',
      `a binary frame of ${bytes.length} bytes; ${MAX_FRAME_BYTES} are allowed`,
    );
  }
  if (bytes.length < HEADER_LENGTH_BYTES) {
    return problem('MESSAGE_INVALID', `a binary frame of ${bytes.length} bytes has no header`);
  }
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  if (length > MAX_HEADER_BYTES) {
    return problem(
      'MESSAGE_INVALID',
      `a frame header of ${length} bytes; ${MAX_HEADER_BYTES} are allowed`,
    );
  }
  const end = HEADER_LENGTH_BYTES + length;
  if (end > bytes.length) {
    return problem(
      'MESSAGE_INVALID',
      `a frame header of ${length} bytes in a frame of ${bytes.length}`,
    );
  }
  const json = parseJson(bytes.subarray(HEADER_LENGTH_BYTES, end), 'a frame header');
  if (!json.ok) return json;
  const header = FrameHeaderSchema.safeParse(json.value);
  if (!header.success) {
    return problem('MESSAGE_INVALID', `frame header: ${issuesText(header.error)}`);
  }
  return { ok: true, value: { header: header.data, payload: bytes.subarray(end) } };
}
