/** @file Tensors that programs read and write where the device computes: the host's own memory on the CPU. */
import type { Tensor } from '../tensor.ts';
import type { DeviceTensor } from './device-memory.ts';
import { DeviceVector } from './device-vector.ts';
import { type Engine, engine } from './engine.ts';
import type { Pointer } from './ort-api.ts';
import { whole } from './whole.ts';

/**
 * Host tensors and their copies on the device. On the CPU the two are one, and copying does nothing. Elsewhere each side
 * is out of date until it is copied: the host's after a run, the device's after the host has written.
 *
 * Where the device's memory has addresses, tensors of float32 lie in it as one vector.
 */
export class DeviceTensors implements Disposable {
  /** To be bound to programs; the same order as given. */
  readonly tensors: readonly DeviceTensor[];
  /** The vector that they lie in, where they do. */
  readonly vector: DeviceVector | undefined;
  readonly #engine: Engine;
  /** Places of their own. */
  readonly #places: Pointer[] = [];

  /** Throws ENGINE when the device has no room. */
  constructor(host: readonly Tensor[], on: Engine = engine()) {
    this.#engine = on;
    const { memory } = on;
    if (!memory) {
      this.tensors = host;
      return;
    }
    const floats = host.filter((tensor) => tensor.dtype === 'float32');
    if (memory.hasAddresses && floats.length > 1 && floats.length === host.length) {
      this.vector = new DeviceVector(floats as Tensor<'float32'>[], memory, on);
      this.tensors = this.vector.pieces;
      return;
    }
    this.tensors = whole(() =>
      host.map((tensor) => {
        const place = on.keep(memory.allocate(on.formOfTensor(tensor)), this.#places);
        return { ...tensor, place };
      }),
    );
  }

  /** Brings what the host holds to the device. */
  async upload(): Promise<void> {
    if (this.vector) await this.vector.upload();
    else await this.#copy((host, place) => [host, place]);
  }

  /** Brings what the device holds to the host, after all runs before. */
  async download(): Promise<void> {
    if (this.vector) await this.vector.download();
    else await this.#copy((host, place) => [place, host]);
  }

  [Symbol.dispose](): void {
    this.vector?.[Symbol.dispose]();
    for (const place of this.#places) this.#engine.drop(place);
  }

  async #copy(way: (host: Pointer, place: Pointer) => [Pointer, Pointer]): Promise<void> {
    const { memory } = this.#engine;
    if (!memory) return;
    for (const { place, ...tensor } of this.tensors) {
      const form = this.#engine.formOfTensor(tensor);
      const host = this.#engine.bind(form);
      try {
        await memory.copy(form, ...way(host.value, place));
      } finally {
        this.#engine.unbind(host);
      }
      if (form !== tensor) (tensor.data as BigInt64Array).set(Array.from(form.data, BigInt));
    }
  }
}
