import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type FileRef, openFile } from '../../src/nodes/root-files.ts';
import { loadModel } from '../../src/trainer/run/model-file.ts';
import { readStats } from '../../src/trainer/run/stats.ts';
import { makeContext, makeRoots } from './support.ts';
import { onlineFlow, run, tiny, trainTeacher } from './training-support.ts';

describe('one run that is asked for several numbers of steps', () => {
  const ended = { hint: expect.stringContaining('run_name'), code: 'RUN_MISMATCH' };
  const weightsOf = async (context: ReturnType<typeof makeContext>, handle: unknown) => {
    const file = await openFile(context.roots, handle as FileRef);
    const { info, parameters } = await loadModel(file);
    return { steps: info.training['steps'], parameters };
  };

  test('fewer, then more: each node has its own model and statistics, also when it runs again', async () => {
    const context = makeContext(await makeRoots());
    const short = await trainTeacher(context);
    const long = await trainTeacher(context, { steps: 5 });
    const whole = await trainTeacher(context, { run_name: 'whole' });
    const [a, b, c] = await Promise.all(
      [short, long, whole].map(({ outputs }) => weightsOf(context, outputs['model'])),
    );
    expect([a?.steps, b?.steps]).toEqual([3, 5]);
    expect(a?.parameters).toEqual(c?.parameters);
    expect(a?.parameters).not.toEqual(b?.parameters);
    context.events.length = 0;
    const again = await trainTeacher(context);
    expect(again.outputs).toEqual(short.outputs);
    expect(again.files).toEqual(['runs/teacher/steps/000000003/teacher.safetensors']);
    expect(context.events).toEqual([]);
    const newest = join(context.roots.output, 'runs/teacher/teacher.safetensors');
    expect((await loadModel(newest)).info.training['steps']).toBe(5);
    for (const [{ outputs }, steps] of [
      [short, 3],
      [long, 5],
    ] as const) {
      const { report } = outputs;
      expect(await readStats(await openFile(context.roots, report as FileRef))).toHaveLength(steps);
      await run('FlowstepLossPlot', { report }, context);
    }
  });

  test('more, then fewer: refused, and trained under a name of its own', async () => {
    const context = makeContext(await makeRoots());
    const long = await trainTeacher(context, { steps: 5 });
    await expect(trainTeacher(context)).rejects.toMatchObject(ended);
    const short = await trainTeacher(context, { run_name: 'short' });
    expect((await weightsOf(context, short.outputs['model'])).steps).toBe(3);
    expect((await weightsOf(context, long.outputs['model'])).steps).toBe(5);
  });

  test('a student and its online flow stay together', async () => {
    const context = makeContext(await makeRoots());
    const { outputs } = await trainTeacher(context);
    const inputs = {
      teacher: outputs['model'],
      online: await onlineFlow(outputs['model'], context),
      run_name: 'student',
      ...tiny,
    };
    const distil = (more: object) => run('FlowstepDistill', { ...inputs, ...more }, context);
    const short = await distil({});
    const long = await distil({ steps: 4 });
    expect((await distil({})).outputs).toEqual(short.outputs);
    for (const [result, steps] of [
      [short, 3],
      [long, 4],
    ] as const) {
      const { weights } = result.outputs['online'] as { weights: FileRef };
      expect((await weightsOf(context, result.outputs['student'])).steps).toBe(steps);
      expect((await weightsOf(context, weights)).steps).toBe(steps);
    }
  });

  test('what a run had made where it was stopped is not what so many steps make', async () => {
    const abort = new AbortController();
    const base = makeContext(await makeRoots(), abort.signal);
    const stopping = {
      ...base,
      onProgress: ({ step }: { step: number }) => step === 2 && abort.abort(),
    };
    const long = { steps: 4, schedule: 'cosine' };
    await expect(trainTeacher(stopping, long)).rejects.toMatchObject({ code: 'INTERRUPTED' });
    const context = makeContext(base.roots);
    await trainTeacher(context, long);
    await expect(trainTeacher(context, { ...long, steps: 2 })).rejects.toMatchObject(ended);
  });

  test('a run that may only start does not give what is kept of it', async () => {
    const context = makeContext(await makeRoots());
    for (const steps of [3, 4]) await trainTeacher(context, { steps });
    await expect(trainTeacher(context, { resume: 'never' })).rejects.toMatchObject({
      code: 'RUN_EXISTS',
    });
  });

  test('who raises the steps again and again keeps the last few models, and is told', async () => {
    const notices: string[] = [];
    const context = {
      ...makeContext(await makeRoots()),
      onNotice: (message: string) => notices.push(message),
    };
    for (const steps of [1, 2, 3, 4, 5]) await trainTeacher(context, { steps });
    expect(notices).toContainEqual(expect.stringMatching(/keeps .* 4 .* step 1 are removed/));
    expect((await readdir(join(context.roots.output, 'runs/teacher/steps'))).length).toBe(4);
    await trainTeacher(context, { steps: 2 });
    await expect(trainTeacher(context, { steps: 1 })).rejects.toMatchObject(ended);
  });
});
