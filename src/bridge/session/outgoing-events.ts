/** @file Events as the frames of a socket; tensors in chunks, which lie in shared memory for a client of the same machine. */
import { encodeFrameHead, type TensorFrame } from '../protocol/frame.ts';
import { SHARED_FILE_BYTES } from '../protocol/limits.ts';
import { bytesOf, type WireTensor } from '../protocol/tensors.ts';
import type { ExecutionEvent } from './event-log.ts';
import type { Outgoing } from './outbox.ts';
import type { SharedMemory } from './shared-memory.ts';

/** Payload of a tensor's frame, far below what is allowed: on a slow line a ping waits for the frame before it, and a frame that has left is a sign of life. */
const PART_BYTES = 1024 * 1024;

/** Events of which only the latest counts, so that a slow reader need not have them all. */
const REPLACED: ReadonlySet<ExecutionEvent['kind']> = new Set(['progress', 'metrics', 'preview']);

/** What to send for an event. Nothing is copied but what goes through `shared`. */
export function eventFrames(event: ExecutionEvent, shared?: SharedMemory): Outgoing[] {
  const name = REPLACED.has(event.kind) ? { name: `${event.kind} ${event.key}` } : {};
  if (event.kind === 'preview') {
    return [{ parts: [encodeFrameHead(event.header), event.bytes], ...name }];
  }
  const chunks = [...event.tensors].flatMap(([tensor, value]) =>
    chunksOf(event.key, tensor, value, shared),
  );
  return [...chunks, { parts: [event.text], ...name }];
}

/** At least one frame, so that an empty tensor comes too. */
function chunksOf(
  key: string,
  name: string,
  tensor: WireTensor,
  shared: SharedMemory | undefined,
): Outgoing[] {
  const bytes = bytesOf(tensor);
  const memory = bytes.length > SHARED_FILE_BYTES ? shared : undefined;
  const count = Math.max(1, Math.ceil(bytes.length / PART_BYTES));
  return Array.from({ length: count }, (_, index) => {
    const offset = index * PART_BYTES;
    const payload = bytes.subarray(offset, offset + PART_BYTES);
    const header: TensorFrame = { kind: 'tensor', key, name, offset };
    const range = memory?.write(key, payload);
    return range
      ? { parts: [encodeFrameHead({ ...header, shared: range })] }
      : { parts: [encodeFrameHead(header), payload] };
  });
}
