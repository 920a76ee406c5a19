/** @file Networks that programs read and do not change. */
import { type ParameterList, parametersOnDevice } from '../nn/parameters.ts';
import type { DeviceTensors } from '../runtime/device-tensors.ts';

/** A network whose parameters are where the device computes. */
export interface PlacedNetwork {
  readonly list: ParameterList;
  /** In the order of the list. */
  readonly parameters: DeviceTensors;
  /** Brings the parameters there unless they are there; before anything runs that reads them. */
  place(): Promise<void>;
}

/** A network that stays as it is. */
export class FrozenNetwork implements PlacedNetwork, Disposable {
  readonly list: ParameterList;
  readonly parameters: DeviceTensors;
  #isPlaced = false;

  constructor(list: ParameterList, weights: Float32Array) {
    this.list = list;
    this.parameters = parametersOnDevice(list, weights);
  }

  async place(): Promise<void> {
    if (this.#isPlaced) return;
    await this.parameters.upload();
    this.#isPlaced = true;
  }

  /** To be called when the host has changed the weights. */
  changed(): void {
    this.#isPlaced = false;
  }

  [Symbol.dispose](): void {
    this.parameters[Symbol.dispose]();
  }
}
