/** @file Executions whose tensors are still on their way. They belong to their socket and go with it. */
import { FlowstepError } from '../../errors.ts';
import type { TensorFrame } from '../protocol/frame.ts';
import { MAX_TENSOR_BYTES } from '../protocol/limits.ts';
import type { ExecuteMessage, FingerprintMessage } from '../protocol/messages.ts';
import {
  byteLengthOf,
  fillTensors,
  type TensorSpec,
  tensorOver,
  type WireTensor,
} from '../protocol/tensors.ts';
import type { ExecutionRequest } from './execution.ts';
import type { SharedMemory } from './shared-memory.ts';

/** Executions of one socket that are not whole; a client sends the tensors of one after the other. */
const MAX_UPLOADS = 16;

interface Part {
  readonly spec: TensorSpec;
  readonly byteLength: number;
  /** Made when the first bytes come. */
  buffer?: ArrayBuffer;
  received: number;
  isWhole: boolean;
}

interface Upload {
  readonly message: ExecuteMessage | FingerprintMessage;
  readonly parts: ReadonlyMap<string, Part>;
}

export class Uploads {
  readonly #byKey = new Map<string, Upload>();

  /** The request when it needs no tensors, else undefined; throws for tensors that cannot be. */
  begin(message: Upload['message']): ExecutionRequest | undefined {
    if (this.#byKey.has(message.key)) {
      throw new FlowstepError('EXECUTION_EXISTS', `${message.key} is being sent already`);
    }
    if (this.#byKey.size >= MAX_UPLOADS) {
      throw new FlowstepError('QUEUE_FULL', `${MAX_UPLOADS} executions are being sent already`, {
        hint: 'Send the tensors of an execution before the next.',
      });
    }
    const upload = { message, parts: partsOf(message.tensors) };
    this.#byKey.set(message.key, upload);
    return this.#requestOf(upload);
  }

  /** Takes a frame; gives the request when it was the last. Frames of what was refused are passed over. */
  add(
    frame: TensorFrame,
    payload: Uint8Array,
    memory: SharedMemory | undefined,
  ): ExecutionRequest | undefined {
    const upload = this.#byKey.get(frame.key);
    if (!upload) return undefined;
    const part = upload.parts.get(frame.name);
    if (!part || part.isWhole) throw invalid(frame, part ? 'is whole already' : 'is not listed');
    const { shared } = frame;
    if (shared && !memory) throw invalid(frame, 'names a file, and this socket shares none');
    if (shared && payload.length > 0) throw invalid(frame, 'comes in a file and in its frame');
    const place = placeOf(part, frame, shared?.length ?? payload.length);
    if (shared) memory?.read(shared, place);
    else place.set(payload);
    part.received += place.length;
    part.isWhole = part.received === part.byteLength;
    return this.#requestOf(upload);
  }

  /** True when there was something to drop. */
  drop(key: string): boolean {
    return this.#byKey.delete(key);
  }

  #requestOf(upload: Upload): ExecutionRequest | undefined {
    const parts = [...upload.parts.values()];
    if (!parts.every((part) => part.isWhole)) return undefined;
    const { type, key, node, inputs } = upload.message;
    this.#byKey.delete(key);
    const tensors = new Map(
      parts.map((part): [string, WireTensor] => [
        part.spec.name,
        tensorOver(part.spec, part.buffer!),
      ]),
    );
    // An object stays one.
    return { type, key, node, inputs: fillTensors(inputs, tensors) as ExecutionRequest['inputs'] };
  }
}

function partsOf(specs: readonly TensorSpec[]): Map<string, Part> {
  const parts = new Map<string, Part>();
  let total = 0;
  for (const spec of specs) {
    if (parts.has(spec.name)) {
      throw new FlowstepError('MESSAGE_INVALID', `two tensors are named ${spec.name}`);
    }
    const byteLength = byteLengthOf(spec);
    parts.set(spec.name, { spec, byteLength, received: 0, isWhole: false });
    total += byteLength;
  }
  if (total > MAX_TENSOR_BYTES) {
    throw new FlowstepError(
      'MESSAGE_TOO_LARGE',
      `the tensors have ${total} bytes; ${MAX_TENSOR_BYTES} are allowed`,
      { hint: 'Use a smaller batch.' },
    );
  }
  return parts;
}

/** The part's memory that the next `length` bytes of it go to. */
function placeOf(part: Part, frame: TensorFrame, length: number): Uint8Array {
  if (frame.offset !== part.received || part.received + length > part.byteLength) {
    throw invalid(
      frame,
      `has ${part.byteLength} bytes, of which ${part.received} came; ${length} more at ${frame.offset} do not fit`,
    );
  }
  // No node sees it before every byte has come, so none needs to be cleared.
  part.buffer ??= Buffer.allocUnsafeSlow(part.byteLength).buffer;
  return new Uint8Array(part.buffer, part.received, length);
}

function invalid({ key, name }: TensorFrame, what: string): FlowstepError {
  return new FlowstepError('MESSAGE_INVALID', `tensor ${name} of ${key} ${what}`);
}
