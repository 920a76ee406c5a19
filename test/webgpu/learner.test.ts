/** The update on WebGPU: what is not finite changes nothing, and what the host has changed is taken up. */
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { USUAL_ADAM } from '../../src/trainer/optim/adam.ts';
import { Learner } from '../../src/trainer/run/learner.ts';
import { Pacer } from '../../src/trainer/run/pacer.ts';
import { engine } from '../../src/trainer/runtime/engine.ts';
import { NO_WEBGPU } from './gpu.ts';

const SHAPES = [[3, 2], [4], [], [2, 1, 2]];
const SIZE = 15;

function learnerOf(): Learner {
  let offset = 0;
  const specs = SHAPES.map((shape, i) => {
    const size = shape.reduce((a, b) => a * b, 1);
    const spec = { name: `p${i}`, shape, size, offset, init: { kind: 'zeros' } } as const;
    offset += size;
    return spec;
  });
  const weights = Float32Array.from({ length: SIZE }, (_, i) => i / 4);
  const learner = new Learner('test', { specs, size: SIZE }, weights, {
    ...USUAL_ADAM,
    clipNorm: 0,
    clipValue: 0,
    ema: true,
    emaDecay: 0.9,
  });
  onTestFinished(() => learner.dispose());
  return learner;
}

const stateOf = ({ state }: Learner) => [...state].map(([name, vector]) => [name, [...vector]]);

describe.skipIf(NO_WEBGPU)(`the update on WebGPU${NO_WEBGPU ? `: ${NO_WEBGPU}` : ''}`, () => {
  const pacer = new Pacer();

  beforeAll(() => {
    engine({ device: 'webgpu', threads: 1, cpuFallback: false });
  });

  const update = async (learner: Learner, gradient: (i: number) => number) => {
    learner.gradient.set(Array.from({ length: SIZE }, (_, i) => gradient(i)));
    await learner.place();
    await learner.gradients.upload();
    const norm = await learner.update(1, 0.01, pacer);
    await learner.download();
    return norm;
  };

  test.each([Number.NaN, Number.POSITIVE_INFINITY, 3e30])('a gradient of %d', async (bad) => {
    const learner = learnerOf();
    const norm = await update(learner, Math.sin);
    expect(norm).toBeCloseTo(Math.hypot(...Array.from({ length: SIZE }, (_, i) => Math.sin(i))), 4);
    const before = stateOf(learner);
    expect(await update(learner, (i) => (i === 7 ? bad : Math.sin(i)))).not.toBeLessThan(Infinity);
    expect(stateOf(learner)).toEqual(before);
    expect(learner.updates).toBe(1);
  });

  test('goes on from what the host has put in its place', async () => {
    const [first, second] = [learnerOf(), learnerOf()];
    for (let k = 0; k < 3; k++) await update(first, (i) => Math.sin(i + k));
    for (const [name, vector] of first.state) second.state.get(name)!.set(vector);
    second.resumeAt(3);
    for (const learner of [first, second]) await update(learner, Math.cos);
    expect(stateOf(second)).toEqual(stateOf(first));
  });
});
