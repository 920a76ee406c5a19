/**
 * @file ONNX Runtime's arena for the CPU (bfc_arena.cc, after TensorFlow's): best fit with coalescing in regions that
 * double in size. Tells how much memory a run of allocations touches, gaps included.
 */
import { bug } from '../../errors.ts';

/** Chunks are multiples of this. */
const GRAIN = 256;
/** Size of the first region, and the largest step by which regions double. */
const FIRST_REGION = 1 << 20;
const MOST_DOUBLED = 2 ** 30;
/** A chunk is split when at least this would be left unused, or as much again as is wanted. */
const MOST_UNUSED = 128 << 20;

/** Memory is taken or given back for a buffer, whatever that is. */
export interface BufferEvent {
  readonly kind: 'take' | 'give';
  readonly buffer: object;
  readonly bytes: number;
}

interface Region {
  /** Bytes from its start that were ever in use. */
  touched: number;
}

interface Chunk {
  readonly region: Region;
  readonly start: number;
  size: number;
  isFree: boolean;
  before: Chunk | undefined;
  after: Chunk | undefined;
}

export class Arena {
  readonly #regions: Region[] = [];
  readonly #free = new Set<Chunk>();
  readonly #held = new Map<object, Chunk>();
  #nextRegion = FIRST_REGION;

  /** Bytes of pages that were written: a region is written from its start. */
  get touchedBytes(): number {
    return this.#regions.reduce((sum, { touched }) => sum + touched, 0);
  }

  apply({ kind, buffer, bytes }: BufferEvent): void {
    if (kind === 'take') this.#take(buffer, bytes);
    else this.#give(buffer);
  }

  #take(buffer: object, bytes: number): void {
    const wanted = Math.max(GRAIN, Math.ceil(bytes / GRAIN) * GRAIN);
    const chunk = this.#bestFit(wanted) ?? this.#extended(wanted);
    this.#free.delete(chunk);
    if (chunk.size >= 2 * wanted || chunk.size - wanted >= MOST_UNUSED) this.#split(chunk, wanted);
    chunk.isFree = false;
    chunk.region.touched = Math.max(chunk.region.touched, chunk.start + wanted);
    this.#held.set(buffer, chunk);
  }

  #give(buffer: object): void {
    const chunk = this.#held.get(buffer);
    if (!chunk) throw bug('a buffer is given back that was not taken');
    this.#held.delete(buffer);
    chunk.isFree = true;
    this.#free.add(chunk);
    if (chunk.after?.isFree) this.#join(chunk, chunk.after);
    if (chunk.before?.isFree) this.#join(chunk.before, chunk);
  }

  /** The smallest chunk that is large enough, the oldest of those. */
  #bestFit(wanted: number): Chunk | undefined {
    let best: Chunk | undefined;
    for (const chunk of this.#free) {
      if (chunk.size < wanted) continue;
      if (!best || isBefore(chunk, best, this.#regions)) best = chunk;
    }
    return best;
  }

  #extended(wanted: number): Chunk {
    let doubled = false;
    while (this.#nextRegion < wanted) {
      this.#nextRegion *= 2;
      doubled = true;
    }
    const size = this.#nextRegion;
    if (!doubled && this.#nextRegion < MOST_DOUBLED) this.#nextRegion *= 2;
    const region: Region = { touched: 0 };
    this.#regions.push(region);
    return { region, start: 0, size, isFree: true, before: undefined, after: undefined };
  }

  #split(chunk: Chunk, size: number): void {
    const { region, start, after } = chunk;
    const rest: Chunk = {
      region,
      start: start + size,
      size: chunk.size - size,
      isFree: true,
      before: chunk,
      after,
    };
    if (after) after.before = rest;
    chunk.after = rest;
    chunk.size = size;
    this.#free.add(rest);
  }

  #join(chunk: Chunk, next: Chunk): void {
    chunk.size += next.size;
    chunk.after = next.after;
    if (next.after) next.after.before = chunk;
    this.#free.delete(next);
  }
}

function isBefore(a: Chunk, b: Chunk, regions: readonly Region[]): boolean {
  if (a.size !== b.size) return a.size < b.size;
  if (a.region === b.region) return a.start < b.start;
  return regions.indexOf(a.region) < regions.indexOf(b.region);
}
