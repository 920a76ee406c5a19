/** @file Tensors that lie in one block of a device's memory, where memory has addresses. */
import { float32, type Tensor } from '../tensor.ts';
import type { DeviceMemory, DeviceTensor } from './device-memory.ts';
import type { Engine } from './engine.ts';
import type { Pointer } from './ort-api.ts';
import { whole } from './whole.ts';

/** Every tensor begins at a multiple of so many elements: 256 bytes, as where the device allocates it by itself. */
const ALIGNMENT = 64;

/** Elements that are copied at once. */
const WINDOW = 1 << 24;

/** Elements of a vector whose host side is kept from one copy to the next, as of what is copied in every step. */
const MOST_KEPT = 1 << 20;

/** Elements of the vector from `start` on, on the host and on the device. */
interface Window {
  readonly start: number;
  readonly staging: Tensor<'float32'>;
  readonly host: Pointer;
  readonly place: Pointer;
}

/** Host tensors one after the other as a vector; what lies between them is 0 once they are uploaded. */
export class DeviceVector implements Disposable {
  readonly length: number;
  /** The tensors with their places, in the order given. */
  readonly pieces: readonly DeviceTensor[];
  readonly #host: readonly Tensor<'float32'>[];
  readonly #starts: readonly number[];
  readonly #memory: DeviceMemory;
  readonly #engine: Engine;
  readonly #block: Pointer;
  /** The block, and all parts of it that are bound. */
  readonly #places: Pointer[] = [];
  #kept: Window | undefined;

  /** Throws ENGINE when the device has no room. */
  constructor(host: readonly Tensor<'float32'>[], memory: DeviceMemory, engine: Engine) {
    const starts: number[] = [];
    let end = 0;
    for (const { data } of host) {
      starts.push(end);
      end += Math.ceil(data.length / ALIGNMENT) * ALIGNMENT;
    }
    this.#host = host;
    this.#starts = starts;
    this.#memory = memory;
    this.#engine = engine;
    this.length = end;
    [this.#block, this.pieces] = whole(() => {
      const vector = { dtype: 'float32', shape: [end] } as const;
      const block = engine.keep(memory.allocate(vector), this.#places);
      const pieces = host.map((tensor, i) => {
        const place = engine.keep(memory.part(block, starts[i]!, tensor), this.#places);
        return { ...tensor, place };
      });
      return [block, pieces] as const;
    });
  }

  /** The elements from `start` to `end`, to be bound. The host has no such tensor. */
  part(start: number, end: number): DeviceTensor {
    const tensor = { dtype: 'float32', shape: [end - start], data: new Float32Array(0) } as const;
    const place = this.#engine.keep(this.#memory.part(this.#block, start, tensor), this.#places);
    return { ...tensor, place };
  }

  async upload(): Promise<void> {
    await this.#inWindows(async (window) => {
      this.#overlaps(window, (piece, part) => part.set(piece));
      await this.#memory.copy(window.staging, window.host, window.place);
    });
  }

  async download(): Promise<void> {
    await this.#inWindows(async (window) => {
      await this.#memory.copy(window.staging, window.place, window.host);
      this.#overlaps(window, (piece, part) => piece.set(part));
    });
  }

  [Symbol.dispose](): void {
    for (const place of this.#places.toReversed()) this.#engine.drop(place);
  }

  /** Calls `work` with each window. */
  async #inWindows(work: (window: Window) => Promise<void>): Promise<void> {
    if (this.length <= MOST_KEPT) {
      this.#kept ??= this.#window(0, this.length, this.#places);
      return work(this.#kept);
    }
    for (let start = 0; start < this.length; start += WINDOW) {
      const places: Pointer[] = [];
      const window = this.#window(start, Math.min(start + WINDOW, this.length), places);
      try {
        await work(window);
      } finally {
        for (const place of places) this.#engine.drop(place);
      }
    }
  }

  #window(start: number, end: number, places: Pointer[]): Window {
    const staging = float32(new Float32Array(end - start), [end - start]);
    const { value: host } = this.#engine.bind(staging);
    const place = this.#engine.hold(this.#memory.part(this.#block, start, staging));
    places.push(host, place);
    return { start, staging, host, place };
  }

  /** Calls `each` with what lies in a window of each host tensor, and where. */
  #overlaps(
    { start, staging: { data: window } }: Window,
    each: (piece: Float32Array, part: Float32Array) => void,
  ): void {
    const end = start + window.length;
    for (const [i, { data }] of this.#host.entries()) {
      const first = this.#starts[i]!;
      const from = Math.max(first, start);
      const to = Math.min(first + data.length, end);
      if (from < to) {
        each(data.subarray(from - first, to - first), window.subarray(from - start, to - start));
      }
    }
  }
}
