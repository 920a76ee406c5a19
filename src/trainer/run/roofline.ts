/** @file How near a training comes to what the device can: its rates of multiplying and copying, measured, and the shares used. */
import { Graph, type Value } from '../graph/graph.ts';
import { add, matMul, slice, sumTo } from '../graph/ops.ts';
import { DeviceTensors } from '../runtime/device-tensors.ts';
import { engine } from '../runtime/engine.ts';
import { Program } from '../runtime/program.ts';
import { float32, sizeOf } from '../tensor.ts';
import type { TrainingPlan } from './plan.ts';

export interface DeviceRates {
  /** Floating-point operations a second in products of square matrices, two for each multiplication. */
  readonly matmul_flops: number;
  /** Bytes a second, read and written, in passes over memory that no cache holds. */
  readonly copy_bytes: number;
}

export interface Roofline extends DeviceRates {
  /** Of an iteration: operations of its products, and bytes of all its operators, each taken as a pass over memory. */
  readonly flops: number;
  readonly bytes: number;
  readonly achieved_flops: number;
  readonly achieved_bytes: number;
  readonly share_of_matmul: number;
  readonly share_of_copy: number;
}

/** Sides and lengths that are beyond caches and fill the device, yet take a processor less than a second. */
const SIZES = {
  host: { side: 1024, products: 4, length: 1 << 24, passes: 4 },
  device: { side: 4096, products: 8, length: 1 << 26, passes: 8 },
} as const;

const RUNS = 5;
const FLOAT_BYTES = 4;

/** Measures the device of this process; a second or two. */
export async function deviceRates(): Promise<DeviceRates> {
  const { side, products, length, passes } = SIZES[engine().memory ? 'device' : 'host'];
  const multiply = await productSeconds(side, products);
  const copy = await fastest([length], (a) => {
    let x = a;
    for (let i = 0; i < passes; i++) x = add(x, i + 1);
    return x;
  });
  return {
    matmul_flops: rounded((2 * side ** 3 * products) / multiply),
    copy_bytes: rounded((2 * length * FLOAT_BYTES * passes) / copy),
  };
}

/** The shares of a training that takes `ms` milliseconds an iteration. */
export function rooflineOf(
  { flops, traffic }: Pick<TrainingPlan, 'flops' | 'traffic'>,
  ms: number,
  rates: DeviceRates,
): Roofline {
  const achieved_flops = rounded((flops.iteration / ms) * 1000);
  const achieved_bytes = rounded((traffic.iteration / ms) * 1000);
  const share = (part: number, whole: number) => Number((part / whole).toFixed(4));
  return {
    ...rates,
    flops: flops.iteration,
    bytes: traffic.iteration,
    achieved_flops,
    achieved_bytes,
    share_of_matmul: share(achieved_flops, rates.matmul_flops),
    share_of_copy: share(achieved_bytes, rates.copy_bytes),
  };
}

/** Least seconds of so many products of square matrices of this side, one after the other. */
export function productSeconds(side: number, products: number): Promise<number> {
  return fastest([side, side], (a) => {
    let x = a;
    for (let i = 0; i < products; i++) x = matMul(x, a);
    return x;
  });
}

/** Least seconds of a run that computes `work` of a tensor that lies on the device; one number comes back, when all is done. */
async function fastest(shape: readonly number[], work: (x: Value) => Value): Promise<number> {
  const graph = new Graph();
  const worked = work(graph.input('x', shape));
  const corner = shape.reduce((value, _, axis) => slice(value, axis, 0, 1), worked);
  graph.output('y', sumTo(corner, []));
  using input = new DeviceTensors([float32(new Float32Array(sizeOf(shape)), shape)]);
  using output = new DeviceTensors([float32(new Float32Array(1), [])]);
  const program = new Program(graph, { name: 'rate' });
  try {
    program.bindInput('x', input.tensors[0]!);
    program.bindOutput('y', output.tensors[0]!);
    await input.upload();
    let least = Number.POSITIVE_INFINITY;
    for (let run = 0; run < RUNS; run++) {
      const start = performance.now();
      await program.run();
      await output.download();
      least = Math.min(least, (performance.now() - start) / 1000);
    }
    return least;
  } finally {
    program.dispose();
  }
}

/** Four figures. */
function rounded(value: number): number {
  return Number(value.toPrecision(4));
}
