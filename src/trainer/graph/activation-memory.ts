/**
 * @file How much memory the activations of graphs take on the CPU, from shapes alone: which values share a buffer as ONNX
 * Runtime's planner has it (allocation_planner.cc), and what its arena makes of the buffers (bfc_arena.cc).
 */
import { sameShape, sizeOf } from '../tensor.ts';
import { Arena, type BufferEvent } from './arena.ts';
import { executionOrder } from './execution-order.ts';
import type { Graph, Value } from './graph.ts';
import { ELEMENT_BYTES } from './onnx-tensors.ts';
import type { OperatorName } from './operators.ts';

/** Operators whose result is their input's memory. */
const ALIASES: ReadonlySet<OperatorName> = new Set(['Reshape']);
/** Operators that may write over their input when nothing else reads it. */
const IN_PLACE: ReadonlySet<OperatorName> = new Set(['Identity', 'Cast', 'Sigmoid', 'Tanh']);

/** Bytes that the arena takes for graphs that run one after the other and share it. */
export function activationBytes(graphs: readonly Graph[]): number {
  const arena = new Arena();
  for (const graph of graphs) for (const event of bufferEvents(graph)) arena.apply(event);
  return arena.touchedBytes;
}

/** Memory of one or more values, one after the other. */
interface Buffer {
  readonly shape: readonly number[];
  readonly elementBytes: number;
  /** Reads of the values in it that are still to come. */
  reads: number;
  /** Place in the order after which nothing reads it. */
  end: number;
}

function bufferEvents(graph: Graph): BufferEvent[] {
  const order = executionOrder(graph);
  const reads = new Map<Value, number>();
  for (const { inputs } of order) for (const v of inputs) reads.set(v, (reads.get(v) ?? 0) + 1);
  const bound = new Set(graph.outputs.values());
  const bufferOf = new Map<Value, Buffer>();
  /** Buffers that no later node reads, the newest first. */
  const free: Buffer[] = [];
  const begins = new Map<Buffer, number>();

  for (const [place, { operator, inputs, outputs }] of order.entries()) {
    for (const value of outputs) {
      // Outputs are written where they are bound; an alias of an input or a constant takes nothing.
      if (bound.has(value)) continue;
      if (ALIASES.has(operator) && !bufferOf.has(inputs[0]!)) continue;
      let buffer = reused(operator, inputs, value, bufferOf) ?? takeFree(free, value);
      if (!buffer) {
        const { shape, dtype } = value;
        buffer = { shape, elementBytes: ELEMENT_BYTES[dtype], reads: 0, end: place };
        begins.set(buffer, place);
      }
      buffer.reads += reads.get(value) ?? 0;
      buffer.end = place;
      bufferOf.set(value, buffer);
    }
    for (const v of [...inputs, ...outputs]) {
      const buffer = bufferOf.get(v);
      if (!buffer) continue;
      if (inputs.includes(v)) buffer.reads--;
      buffer.end = place;
      if (buffer.reads === 0 && !free.includes(buffer)) free.unshift(buffer);
    }
  }

  const events: BufferEvent[][] = order.map(() => []);
  const bytesOf = ({ shape, elementBytes }: Buffer) => sizeOf(shape) * elementBytes;
  for (const [buffer, place] of begins) {
    events[place]!.push({ kind: 'take', buffer, bytes: bytesOf(buffer) });
  }
  for (const buffer of begins.keys()) {
    events[buffer.end]!.push({ kind: 'give', buffer, bytes: bytesOf(buffer) });
  }
  return events.flat();
}

function reused(
  operator: OperatorName,
  [source]: readonly Value[],
  value: Value,
  bufferOf: ReadonlyMap<Value, Buffer>,
): Buffer | undefined {
  const buffer = source && bufferOf.get(source);
  if (!buffer) return undefined;
  if (ALIASES.has(operator)) return buffer;
  const fits = sameShape(source.shape, value.shape) && source.dtype === value.dtype;
  return IN_PLACE.has(operator) && buffer.reads === 1 && fits ? buffer : undefined;
}

/** A dead buffer of the very shape, which then lives on. */
function takeFree(free: Buffer[], { shape, dtype }: Value): Buffer | undefined {
  const at = free.findIndex(
    (b) => b.elementBytes === ELEMENT_BYTES[dtype] && sameShape(b.shape, shape),
  );
  return at < 0 ? undefined : free.splice(at, 1)[0];
}
