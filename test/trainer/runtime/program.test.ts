/** Graphs on ONNX Runtime: memory that stays, errors that say where, and an event loop that goes on. */
import { setImmediate } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import { FlowstepError } from '../../../src/errors.ts';
import { Graph, type Value } from '../../../src/trainer/graph/graph.ts';
import { add, exp, gather, less, matMul, mul, reduceSum } from '../../../src/trainer/graph/ops.ts';
import { engine } from '../../../src/trainer/runtime/engine.ts';
import { Program } from '../../../src/trainer/runtime/program.ts';
import { float32 } from '../../../src/trainer/tensor.ts';

function programOf(
  name: string,
  build: (graph: Graph) => Readonly<Record<string, Value>>,
): Program {
  const graph = new Graph();
  for (const [output, value] of Object.entries(build(graph))) graph.output(output, value);
  const program = new Program(graph, { name });
  onTestFinished(() => program.dispose());
  return program;
}

const numbers = (...values: number[]) => Float32Array.from(values);

describe('memory', () => {
  test('an output over an input: state that each run moves on', async () => {
    const program = programOf('walk', (graph) => {
      const x = graph.input('x', [3]);
      return { next: add(x, graph.input('step', [])) };
    });
    const x = float32(numbers(1, 2, 3), [3]);
    const step = float32(numbers(10), []);
    program.bindInput('x', x);
    program.bindInput('step', step);
    program.bindOutput('next', x);
    program.runSync();
    program.runSync();
    step.data[0] = 0.5;
    await program.run();
    expect([...x.data]).toEqual([21.5, 22.5, 23.5]);
  });

  test('parts of one vector are bound apart', () => {
    const program = programOf('halves', (graph) => ({
      next: mul(graph.input('first', [2]), graph.input('second', [2])),
    }));
    const all = numbers(1, 2, 3, 4, 5, 6);
    program.bindInput('first', float32(all.subarray(0, 2), [2]));
    program.bindInput('second', float32(all.subarray(2, 4), [2]));
    program.bindOutput('next', float32(all.subarray(4, 6), [2]));
    program.runSync();
    expect([...all]).toEqual([1, 2, 3, 4, 3, 8]);
  });

  test('two programs take turns on the same memory', async () => {
    const x = float32(numbers(1, 1), [2]);
    const sum = float32(numbers(0), []);
    const twice = programOf('double', (graph) => ({ next: mul(graph.input('x', [2]), 2) }));
    twice.bindInput('x', x);
    twice.bindOutput('next', x);
    const collect = programOf('collect', (graph) => ({
      next: add(graph.input('sum', []), reduceSum(graph.input('x', [2]))),
    }));
    collect.bindInput('x', x);
    collect.bindInput('sum', sum);
    collect.bindOutput('next', sum);
    for (let i = 0; i < 5; i++) {
      await twice.run();
      collect.runSync();
    }
    expect([...x.data]).toEqual([32, 32]);
    expect(sum.data[0]).toBe(2 * (2 + 4 + 8 + 16 + 32));
  });

  test('a tensor that is bound again is what counts; integers and booleans go in and out', () => {
    const program = programOf('compare', (graph) => {
      const labels = graph.input('labels', [3], 'int64');
      return { below: less(labels, 2), same: labels };
    });
    const below = Uint8Array.of(9, 9, 9);
    const same = new BigInt64Array(3);
    const bindLabels = (...values: bigint[]) =>
      program.bindInput('labels', {
        dtype: 'int64',
        shape: [3],
        data: BigInt64Array.from(values),
      });
    bindLabels(5n, 5n, 5n);
    bindLabels(1n, 2n, -3n);
    program.bindOutput('below', { dtype: 'bool', shape: [3], data: below });
    program.bindOutput('same', { dtype: 'int64', shape: [3], data: same });
    program.runSync();
    expect([...below]).toEqual([1, 0, 1]);
    expect([...same]).toEqual([1n, 2n, -3n]);
  });
});

/** Products of matrices one after the other: about a millisecond each. */
function longProgram(products: number): Program {
  const size = 320;
  const program = programOf('long', (graph) => {
    let x: Value = graph.input('x', [size, size]);
    const w = graph.input('w', [size, size]);
    for (let i = 0; i < products; i++) x = matMul(x, w);
    return { y: x };
  });
  const square = () => float32(new Float32Array(size * size).fill(1 / size), [size, size]);
  program.bindInput('x', square());
  program.bindInput('w', square());
  program.bindOutput('y', square());
  return program;
}

describe('time', () => {
  test('the event loop turns while a program runs', async () => {
    const program = longProgram(60);
    let running = true;
    const run = program.run().finally(() => {
      running = false;
    });
    let turns = 0;
    for (; running; turns++) await setImmediate();
    await run;
    expect(turns).toBeGreaterThan(20);
  });

  test('terminate stops a run soon, and the program can run again', async () => {
    const program = longProgram(1500);
    const outcome = program.run().then(
      () => 'finished',
      (error: unknown) => error,
    );
    for (let i = 0; i < 20; i++) await setImmediate();
    const asked = performance.now();
    program.terminate();
    const error = await outcome;
    // A few milliseconds as a rule; the whole run takes seconds.
    expect(performance.now() - asked).toBeLessThan(200);
    expect(error).toBeInstanceOf(FlowstepError);
    expect(error).toMatchObject({ code: 'INTERRUPTED', message: 'long was stopped' });

    const again = program.run();
    program.terminate();
    await expect(again).rejects.toMatchObject({ code: 'INTERRUPTED' });
  });

  test('terminating a program that does not run changes nothing', async () => {
    const program = longProgram(1);
    program.terminate();
    await program.run();
    program.terminate();
    program.runSync();
  });

  test('one run at a time', async () => {
    const program = longProgram(20);
    const run = program.run();
    await expect(program.run()).rejects.toThrow('internal: long already runs');
    expect(() => program.runSync()).toThrow('internal: long already runs');
    expect(() => program.dispose()).toThrow('internal: long is running');
    await run;
  });
});

describe('errors', () => {
  const small = () => programOf('small', (graph) => ({ y: exp(graph.input('x', [2, 3])) }));

  test('a tensor of another shape or type', () => {
    const program = small();
    expect(() => program.bindInput('x', float32(new Float32Array(6), [3, 2]))).toThrow(
      expect.objectContaining({
        code: 'SHAPE_MISMATCH',
        message: 'small: input x is float32[2, 3], not float32[3, 2]',
      }),
    );
    const whole = { dtype: 'int32', shape: [2, 3], data: new Int32Array(6) } as const;
    expect(() => program.bindOutput('y', whole)).toThrow(
      'small: output y is float32[2, 3], not int32[2, 3]',
    );
  });

  test('names that the graph does not have, and names that were forgotten', () => {
    const program = small();
    const tensor = float32(new Float32Array(6), [2, 3]);
    expect(() => program.bindInput('y', tensor)).toThrow('internal: small has no input y');
    expect(() => program.bindOutput('x', tensor)).toThrow('internal: small has no output x');
    program.bindInput('x', tensor);
    expect(() => program.runSync()).toThrow('internal: small: y is not bound');
  });

  test('a node that fails is named with its shapes', async () => {
    const program = programOf('lookup', (graph) => ({
      y: gather(graph.input('table', [4, 2]), graph.input('rows', [3], 'int64')),
    }));
    program.bindInput('table', float32(new Float32Array(8), [4, 2]));
    const rows = { dtype: 'int64', shape: [3], data: BigInt64Array.of(0n, 4n, 1n) } as const;
    program.bindInput('rows', rows);
    program.bindOutput('y', float32(new Float32Array(6), [3, 2]));
    for (const run of [() => program.run(), async () => program.runSync()]) {
      await expect(run()).rejects.toMatchObject({
        code: 'ENGINE',
        message: expect.stringMatching(
          /^lookup: .*indices element out of data bounds.* \(Gather of float32\[4, 2\], int64\[3\]\)$/s,
        ),
      });
    }
    rows.data[1] = 3n;
    program.runSync();
  });

  test('a program that was disposed of', () => {
    const program = small();
    program.dispose();
    program.dispose();
    expect(() => program.runSync()).toThrow('internal: small is disposed');
  });

  test('another number of threads in the same process', () => {
    const { threads } = engine();
    expect(engine({ threads })).toBe(engine());
    expect(() => engine({ threads: threads + 1 })).toThrow(
      expect.objectContaining({ code: 'DEVICE_UNAVAILABLE' }),
    );
  });
});
