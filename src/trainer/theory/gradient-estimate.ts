/** @file Estimates of a loss's gradient in the student's parameters. */
import type { Feeds } from './draws.ts';
import { writeParameters } from './float64-program.ts';
import {
  FULL_LOSS,
  gradientProgram,
  type Loss,
  type Online,
  PRODUCTS,
  type Products,
  readGradient,
} from './programs.ts';
import type { Setting } from './setting.ts';
import { writeFeeds } from './slopes.ts';

export interface Estimate {
  readonly gradient: Float64Array;
  readonly products: Products;
}

/** Means over batches of the loss's gradient in the student's parameters and of the products. */
export class GradientEstimate implements Disposable {
  readonly #setting: Setting;
  readonly #program;
  readonly #batch: Float64Array;
  #sum: Float64Array;
  #products = zeroProducts();
  #batches = 0;

  /** `flow` are the parameters of `online`. */
  constructor(
    setting: Setting,
    online: Online,
    flow: Float64Array,
    batch: number,
    loss: Loss = FULL_LOSS,
  ) {
    const { teacher, student } = setting;
    this.#setting = setting;
    this.#program = gradientProgram(setting, online, batch, loss);
    this.#batch = new Float64Array(student.list.size);
    this.#sum = new Float64Array(student.list.size);
    writeParameters(this.#program, 'teacher', teacher.list, teacher.values);
    writeParameters(this.#program, 'student', student.list, student.values);
    writeParameters(this.#program, 'online', online.list, flow);
  }

  async add(feeds: Feeds): Promise<void> {
    const { memory } = this.#program;
    writeFeeds(memory, feeds);
    await this.#program.run();
    readGradient(this.#program, this.#setting.student.list, this.#batch);
    for (let i = 0; i < this.#sum.length; i++) this.#sum[i]! += this.#batch[i]!;
    for (const name of PRODUCTS) this.#products[name] += memory[name]![0]!;
    this.#batches++;
  }

  /** The means since the last call. */
  take(): Estimate {
    const count = this.#batches;
    const products = this.#products;
    for (const name of PRODUCTS) products[name] /= count;
    const gradient = this.#sum.map((x) => x / count);
    this.#sum = new Float64Array(this.#sum.length);
    this.#products = zeroProducts();
    this.#batches = 0;
    return { gradient, products };
  }

  [Symbol.dispose](): void {
    this.#program[Symbol.dispose]();
  }
}

function zeroProducts(): Products {
  return { 'u.u': 0, 'u.v': 0, 'u.c': 0, 'v.v': 0, 'v.c': 0 };
}
