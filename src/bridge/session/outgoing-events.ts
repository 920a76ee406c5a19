/** @file Events as the frames of a socket; tensors in chunks, or as files for a client of the same machine. */
import { encodeFrameHead, type TensorFrame } from '../protocol/frame.ts';
import { CHUNK_BYTES, SHARED_FILE_BYTES } from '../protocol/limits.ts';
import { bytesOf, type WireTensor } from '../protocol/tensors.ts';
import type { ExecutionEvent, TextEvent } from './event-log.ts';
import type { Outgoing } from './outbox.ts';
import type { SharedFolder } from './shared-folder.ts';

/** Events of which only the latest counts, so that a slow reader need not have them all. */
const REPLACED: ReadonlySet<ExecutionEvent['kind']> = new Set(['progress', 'metrics', 'preview']);

/** What to send for an event; a promise only where files are written. Nothing is copied. */
export function eventFrames(
  event: ExecutionEvent,
  folder: SharedFolder | undefined,
): Outgoing[] | Promise<Outgoing[]> {
  const name = REPLACED.has(event.kind) ? { name: `${event.kind} ${event.key}` } : {};
  if (event.kind === 'preview') {
    return [{ parts: [encodeFrameHead(event.header), event.bytes], ...name }];
  }
  const text = { parts: [event.text], ...name };
  if (folder && hasLarge(event)) return resultWithFiles(event, folder, text);
  const chunks = [...event.tensors].flatMap(([tensor, value]) =>
    chunksOf(event.key, tensor, value),
  );
  return [...chunks, text];
}

function hasLarge({ tensors }: TextEvent): boolean {
  return [...tensors.values()].some(isLarge);
}

function isLarge({ data }: WireTensor): boolean {
  return data.byteLength > SHARED_FILE_BYTES;
}

async function resultWithFiles(
  { key, tensors }: TextEvent,
  folder: SharedFolder,
  text: Outgoing,
): Promise<Outgoing[]> {
  const frames = await Promise.all(
    [...tensors].map(async ([name, tensor]) => {
      if (!isLarge(tensor)) return chunksOf(key, name, tensor);
      const file = await folder.write(key, tensor);
      return [frameOf({ kind: 'tensor', key, name, offset: 0, file }, new Uint8Array())];
    }),
  );
  return [...frames.flat(), text];
}

/** At least one frame, so that an empty tensor comes too. */
function chunksOf(key: string, name: string, tensor: WireTensor): Outgoing[] {
  const bytes = bytesOf(tensor);
  const count = Math.max(1, Math.ceil(bytes.length / CHUNK_BYTES));
  return Array.from({ length: count }, (_, index) => {
    const offset = index * CHUNK_BYTES;
    const payload = bytes.subarray(offset, offset + CHUNK_BYTES);
    return frameOf({ kind: 'tensor', key, name, offset }, payload);
  });
}

function frameOf(header: TensorFrame, payload: Uint8Array): Outgoing {
  return { parts: [encodeFrameHead(header), payload] };
}
