/** Every operator and its gradients on WebGPU: recorded, replayed on other numbers, compared with the interpreter. */
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { Graph } from '../../src/trainer/graph/graph.ts';
import { interpret } from '../../src/trainer/graph/interpreter.ts';
import type { OperatorName } from '../../src/trainer/graph/operators.ts';
import { cast } from '../../src/trainer/graph/ops.ts';
import { DeviceTensors } from '../../src/trainer/runtime/device-tensors.ts';
import { engine } from '../../src/trainer/runtime/engine.ts';
import { Program } from '../../src/trainer/runtime/program.ts';
import { sizeOf, type Tensor } from '../../src/trainer/tensor.ts';
import { differentiated, type Subject } from '../support/gradcheck.ts';
import { OPERATOR_CASES, type OperatorCase } from '../support/operator-cases.ts';
import { NO_WEBGPU } from './gpu.ts';

const TOLERANCE = 2e-5;
/** By how much inputs differ when the program is recorded. */
const OTHER = 0.05;

/** Copies to a device are of numbers; what is true is made of them there. */
function subjectOf(operator: OperatorName, { inputs, attributes }: OperatorCase): Subject {
  return {
    inputs: inputs.map((spec) => (spec.holds === 'bool' ? { ...spec, holds: 'int32' } : spec)),
    apply: (values) => {
      const given = values.map((value, i) =>
        inputs[i]!.holds === 'bool' ? cast(value, 'bool') : value,
      );
      const results = given[0]!.graph.apply(operator, given, attributes);
      // Truth and whole numbers come back as numbers, float64 never.
      return results.map((value) => (value.dtype === 'float32' ? value : cast(value, 'float32')));
    },
  };
}

function tensorOf(dtype: Tensor['dtype'], shape: readonly number[], values: readonly number[]) {
  switch (dtype) {
    case 'int64':
      return { dtype, shape, data: BigInt64Array.from(values, BigInt) };
    case 'int32':
      return { dtype, shape, data: Int32Array.from(values) };
    default:
      return { dtype: 'float32' as const, shape, data: Float32Array.from(values) };
  }
}

/** Largest difference, relative to the largest number and to 1 at least: sums cancel. */
function gapOf(got: Tensor['data'], expected: ArrayLike<number>): number {
  const right = Array.from(expected);
  const scale = Math.max(1, ...right.map(Math.abs));
  return Math.max(...right.map((x, i) => Math.abs(Number(got[i]) - x))) / scale;
}

async function replayed(graph: Graph, feeds: ReadonlyMap<string, readonly number[]>) {
  const names = [...feeds.keys()].filter((name) => graph.inputs.has(name));
  const tensors = names.map((name) => {
    const { dtype, shape } = graph.inputs.get(name)!;
    return tensorOf(dtype, shape, feeds.get(name)!);
  });
  const inputs = new DeviceTensors(tensors);
  const results = [...graph.outputs.values()].map(({ shape }) =>
    tensorOf('float32', shape, new Array<number>(sizeOf(shape)).fill(0)),
  );
  const outputs = new DeviceTensors(results);
  const program = new Program(graph, { name: 'operator', capture: true });
  onTestFinished(() => {
    for (const object of [inputs, outputs]) object[Symbol.dispose]();
    program.dispose();
  });
  for (const [i, name] of names.entries()) program.bindInput(name, inputs.tensors[i]!);
  for (const [i, name] of [...graph.outputs.keys()].entries()) {
    program.bindOutput(name, outputs.tensors[i]!);
  }
  const move = (by: number) => {
    for (const { dtype, data } of tensors) {
      if (dtype === 'float32')
        for (let i = 0; i < data.length; i++) (data as Float32Array)[i]! += by;
    }
  };
  move(OTHER);
  await inputs.upload();
  await program.warmUp();
  for (const [i, { data }] of tensors.entries()) {
    const { dtype } = tensors[i]!;
    if (dtype === 'float32') (data as Float32Array).set(feeds.get(names[i]!)!);
  }
  await inputs.upload();
  await program.run();
  await outputs.download();
  return new Map([...graph.outputs.keys()].map((name, i) => [name, results[i]!.data]));
}

describe.skipIf(NO_WEBGPU)(`operators on WebGPU${NO_WEBGPU ? `: ${NO_WEBGPU}` : ''}`, () => {
  beforeAll(() => {
    engine({ device: 'webgpu', threads: 1, cpuFallback: false });
  });

  test.each(Object.keys(OPERATOR_CASES) as OperatorName[])('%s', async (operator) => {
    const cases = (OPERATOR_CASES[operator] as readonly OperatorCase[]).filter(
      ({ inputs, attributes }) =>
        inputs.some(({ constant }) => !constant) &&
        (attributes as { to?: string }).to !== 'float64' &&
        (attributes as { to?: string }).to !== 'uint8',
    );
    expect(cases.length).toBeGreaterThan(0);
    for (const row of cases) {
      const subject = subjectOf(operator, row);
      const { graph } = differentiated(subject, 'float32');
      const feeds = new Map(subject.inputs.map(({ values }, i) => [`x${i}`, values] as const));
      const found = await replayed(graph, feeds);
      const expected = interpret(graph, feeds);
      for (const [name, values] of found) {
        expect(
          gapOf(values, expected.get(name)!.data),
          `${name} of ${JSON.stringify(row.attributes)}`,
        ).toBeLessThan(TOLERANCE);
      }
    }
  });
});
