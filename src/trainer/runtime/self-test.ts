/** @file A small program that shows whether a device computes, and computes right. */
import { FlowstepError } from '../../errors.ts';
import { Graph } from '../graph/graph.ts';
import { interpret } from '../graph/interpreter.ts';
import { add, matMul } from '../graph/ops.ts';
import { float32 } from '../tensor.ts';
import { engine } from './engine.ts';
import type { Device } from './library.ts';
import { Program } from './program.ts';
import { providersOf } from './providers.ts';

export interface SelfTest {
  readonly library: string;
  readonly version: string;
  readonly threads: number;
  /** Those that the library was built with, by ONNX Runtime's names. */
  readonly providers: readonly string[];
  /** Milliseconds of the program's first run. */
  readonly runMs: number;
}

const SIZE = 16;
/** Products of 16 numbers, which some devices compute with 10 bits of mantissa. */
const TOLERANCE = 0.02;

/** Runs on the device of this process; throws LIBRARY_NOT_FOUND, DEVICE_UNAVAILABLE or ENGINE when it cannot. */
export async function selfTest(device: Device): Promise<SelfTest> {
  const { api, library, threads } = engine({ device });
  const graph = new Graph();
  const shape = [SIZE, SIZE];
  const a = graph.input('a', shape);
  graph.output('y', add(matMul(a, a), 1));
  const input = Float32Array.from({ length: SIZE * SIZE }, (_, i) => Math.sin(i));
  const output = new Float32Array(SIZE * SIZE);
  const program = new Program(graph, { name: 'self test' });
  try {
    program.bindInput('a', float32(input, shape));
    program.bindOutput('y', float32(output, shape));
    const start = performance.now();
    await program.run();
    const runMs = performance.now() - start;
    const right = interpret(graph, new Map([['a', input]])).get('y')!.data;
    const wrong = output.findIndex((y, i) => !(Math.abs(y - right[i]!) <= TOLERANCE));
    if (wrong >= 0) {
      throw new FlowstepError(
        'ENGINE',
        `a test program gave ${output[wrong]} where ${right[wrong]} is right`,
        {
          hint: 'The device or its driver computes wrongly: update the driver, or take --device cpu.',
        },
      );
    }
    const { version } = api;
    return { library: library.path, version, threads, providers: providersOf(api), runMs };
  } finally {
    program.dispose();
  }
}
