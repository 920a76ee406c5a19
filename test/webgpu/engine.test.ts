/** The engine on WebGPU: memory of its own, programs that are recorded, and nothing left to the CPU. */
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { Graph } from '../../src/trainer/graph/graph.ts';
import { add, gather, mul } from '../../src/trainer/graph/ops.ts';
import { DeviceTensors } from '../../src/trainer/runtime/device-tensors.ts';
import { type Engine, engine } from '../../src/trainer/runtime/engine.ts';
import { Program } from '../../src/trainer/runtime/program.ts';
import { selfTest } from '../../src/trainer/runtime/self-test.ts';
import { float32, type Tensor } from '../../src/trainer/tensor.ts';
import { NO_WEBGPU } from './gpu.ts';

describe.skipIf(NO_WEBGPU)(`the engine on WebGPU${NO_WEBGPU ? `: ${NO_WEBGPU}` : ''}`, () => {
  let on: Engine;
  let handles = 0;

  beforeAll(() => {
    on = engine({ device: 'webgpu', threads: 1, cpuFallback: false });
    handles = on.liveTensors;
  });

  afterAll(() => expect(on.liveTensors).toBe(handles));

  const onDevice = (...tensors: Tensor[]) => {
    const placed = new DeviceTensors(tensors);
    onTestFinished(() => placed[Symbol.dispose]());
    return placed;
  };

  const programOf = (graph: Graph, capture = false) => {
    const program = new Program(graph, { name: 'test', capture });
    onTestFinished(() => program.dispose());
    return program;
  };

  test('passes its self test', async () => {
    await expect(selfTest('webgpu')).resolves.toMatchObject({ library: on.library.path });
  });

  test('refuses an operator that it would leave to the CPU', () => {
    const graph = new Graph();
    graph.output('y', add(graph.input('x', [2], 'float64'), 1));
    expect(() => programOf(graph)).toThrow(/fallback to CPU EP has been explicitly disabled/);
  });

  test('brings tensors to the device and back', async () => {
    const x = Float32Array.of(1.5, -2, 3e-30);
    const labels = BigInt64Array.of(4n, -1n);
    const one = Float32Array.of(7);
    const placed = onDevice(
      float32(x, [3]),
      { dtype: 'int64', shape: [2, 1], data: labels },
      float32(one, []),
    );
    await placed.upload();
    for (const host of [x, one]) host.fill(0);
    labels.fill(0n);
    await placed.download();
    expect([[...x], [...labels], [...one]]).toEqual([
      [1.5, -2, Math.fround(3e-30)],
      [4n, -1n],
      [7],
    ]);
  });

  test('writes over its input on the device; recording runs a program twice', async () => {
    const count = new Float32Array(2);
    const placed = onDevice(float32(count, [2]));
    const graph = new Graph();
    graph.output('next', add(graph.input('count', [2]), 1));
    const program = programOf(graph, true);
    program.bindInput('count', placed.tensors[0]!);
    program.bindOutput('next', placed.tensors[0]!);

    await program.warmUp();
    await placed.upload();
    await program.warmUp();
    for (let i = 0; i < 3; i++) await program.run();
    program.runSync();
    await placed.download();
    expect([...count]).toEqual([4, 4]);
  });

  test('a recorded program reads what is new in its inputs', async () => {
    const table = Float32Array.of(2, 3, 5, 7);
    const choice = new BigInt64Array(2);
    const y = new Float32Array(2);
    const placed = onDevice(float32(table, [4]), { dtype: 'int64', shape: [2], data: choice });
    const result = onDevice(float32(y, [2]));
    const graph = new Graph();
    graph.output('y', gather(graph.input('table', [4]), graph.input('choice', [2], 'int64')));
    const program = programOf(graph, true);
    program.bindInput('table', placed.tensors[0]!);
    program.bindInput('choice', placed.tensors[1]!);
    program.bindOutput('y', result.tensors[0]!);
    const seen: number[][] = [];
    for (const [a, b] of [
      [0n, 3n],
      [2n, 1n],
      [3n, 3n],
    ] as const) {
      choice.set([a, b]);
      await placed.upload();
      await program.run();
      await result.download();
      seen.push([...y]);
    }
    expect(seen).toEqual([
      [2, 7],
      [5, 3],
      [7, 7],
    ]);
  });

  test('tensors in the host’s memory are read at each run', async () => {
    const x = new Float32Array(2);
    const choice = new BigInt64Array(1);
    const y = new Float32Array(1);
    const graph = new Graph();
    graph.output('y', mul(gather(graph.input('x', [2]), graph.input('choice', [1], 'int64')), 10));
    const program = programOf(graph);
    program.bindInput('x', float32(x, [2]));
    program.bindInput('choice', { dtype: 'int64', shape: [1], data: choice });
    program.bindOutput('y', float32(y, [1]));
    const seen: number[] = [];
    for (const [a, b, c] of [
      [1, 2, 0n],
      [3, 4, 1n],
      [5, 6, 0n],
    ] as const) {
      x.set([a, b]);
      choice[0] = c;
      await program.run();
      seen.push(y[0]!);
    }
    expect(seen).toEqual([10, 40, 50]);
  });

  test('runs that are asked for at once are done one after the other', async () => {
    const programs = Array.from({ length: 6 }, (_, i) => {
      const graph = new Graph();
      const placed = onDevice(float32(new Float32Array(300).fill(i), [300]));
      graph.output('next', add(mul(graph.input('x', [300]), 2), 1));
      const program = programOf(graph);
      program.bindInput('x', placed.tensors[0]!);
      program.bindOutput('next', placed.tensors[0]!);
      return { placed, program };
    });
    await Promise.all(
      programs.map(async ({ placed, program }) => {
        await placed.upload();
        const runs = Array.from({ length: 3 }, () => program.run().catch(() => 'busy'));
        expect(await Promise.all(runs)).toEqual([undefined, 'busy', 'busy']);
        await program.run();
        await placed.download();
      }),
    );
    expect(programs.map(({ placed }) => placed.tensors[0]!.data[299])).toEqual(
      programs.map((_, i) => 4 * i + 3),
    );
  });
});
