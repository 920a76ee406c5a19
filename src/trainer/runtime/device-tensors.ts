/** @file Tensors that programs read and write where the device computes: the host's own memory on the CPU. */
import type { Tensor } from '../tensor.ts';
import { type Engine, engine } from './engine.ts';
import type { Pointer } from './ort-api.ts';
import { noteMade, whole } from './whole.ts';

/** A host tensor with its copy on the device, where that is not the same memory. */
export interface DeviceTensor extends Tensor {
  readonly place?: Pointer;
}

/**
 * Host tensors and their copies on the device. On the CPU the two are one, and copying does nothing. Elsewhere each side
 * is out of date until it is copied: the host's after a run, the device's after the host has written.
 */
export class DeviceTensors implements Disposable {
  /** To be bound to programs; the same order as given. */
  readonly tensors: readonly DeviceTensor[];
  readonly #engine: Engine;

  /** Throws ENGINE when the device has no room. */
  constructor(host: readonly Tensor[], on: Engine = engine()) {
    this.#engine = on;
    const { memory } = on;
    if (!memory) {
      this.tensors = host;
      return;
    }
    const tensors: DeviceTensor[] = [];
    this.tensors = tensors;
    whole(() => {
      for (const tensor of host) {
        const place = on.hold(memory.allocate(on.formOfTensor(tensor)));
        noteMade({ [Symbol.dispose]: () => on.drop(place) });
        tensors.push({ ...tensor, place });
      }
    });
  }

  /** Brings what the host holds to the device. */
  async upload(): Promise<void> {
    await this.#copy((host, place) => [host, place]);
  }

  /** Brings what the device holds to the host, after all runs before. */
  async download(): Promise<void> {
    await this.#copy((host, place) => [place, host]);
  }

  [Symbol.dispose](): void {
    for (const { place } of this.tensors) if (place) this.#engine.drop(place);
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
