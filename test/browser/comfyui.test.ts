/** @file Flowstep in the real ComfyUI, seen through its official front end in a real browser. */
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { readObjectInfo } from '../../src/host/object-info.ts';
import { convertUiWorkflow } from '../../src/host/ui-to-api.ts';
import { ComfyUi, NO_COMFYUI, PACK } from '../comfyui/comfyui.ts';
import { FrontEnd, NO_CHROMIUM, type Panel } from './front-end.ts';

const SKIPPED = NO_COMFYUI ?? NO_CHROMIUM;
if (SKIPPED) console.warn(`The browser test is skipped: ${SKIPPED}.`);

/** Steps of the student: enough to stop in the middle on a fast machine, and to finish soon on a slow one. */
const STEPS = 1500;
/** A step of the student takes about 10 ms on two idle cores; other work may make that ten times as much. */
const TRAINING_MS = 240_000;

const workflow = (name: string) => join(PACK, 'workflows', `${name}.json`);

describe.skipIf(SKIPPED)('in the browser', () => {
  let comfy: ComfyUi;
  let frontEnd: FrontEnd;
  const isWritten = (file: string) => existsSync(join(comfy.folder, 'output', file));

  beforeAll(async () => {
    for (const built of ['dist/main.js', 'web/flowstep.js']) {
      if (!existsSync(join(PACK, built))) throw new Error(`${built} is missing: npm run build`);
    }
    comfy = await ComfyUi.start();
    frontEnd = await FrontEnd.open(comfy.url);
  }, 300_000);

  // What was on the screen, and what ComfyUI said, tell more than the line that waited in vain.
  afterEach(async ({ task }) => {
    if (task.result?.state !== 'fail' || !frontEnd) return;
    await frontEnd.picture('failed');
    console.error((await comfy.log()).slice(-4000));
  });

  afterAll(async () => {
    await frontEnd?.[Symbol.asyncDispose]();
    await comfy?.[Symbol.asyncDispose]();
  }, 60_000);

  test('the shipped student makes clothes', { timeout: TRAINING_MS }, async () => {
    await frontEnd.openWorkflow(workflow('fashion-one-step'));
    await frontEnd.run();
    await expect
      .poll(() => frontEnd.pictureCount('Save Image'), { timeout: TRAINING_MS, interval: 100 })
      .toBe(1);
    expect(isWritten('fashion-one-step/sample_00001_.png')).toBe(true);
    await frontEnd.picture('fashion-one-step');
  });

  test.each(['sd3-one-step', 'sd3-distill'])(
    '%s opens, and is run as it was saved',
    async (name) => {
      await frontEnd.openWorkflow(workflow(name));
      const info: unknown = await (await fetch(`${comfy.url}/object_info`)).json();
      const saved: unknown = JSON.parse(await readFile(workflow(name), 'utf8'));
      const { api } = convertUiWorkflow(saved, readObjectInfo(info, 'object_info'), name);
      expect(Object.keys(api).length).toBeGreaterThan(7);
      expect(await frontEnd.prompt()).toEqual(api);
      await frontEnd.picture(name);
    },
  );

  test('a distillation that is measured tells its scores', { timeout: TRAINING_MS }, async () => {
    await frontEnd.openWorkflow(workflow('evaluate-2d'));
    await frontEnd.set('Train Flow Teacher', 'steps', 300);
    await frontEnd.set('FGM Distill', 'steps', 400);
    await frontEnd.set('FGM Distill', 'evaluate_every', 200);
    await frontEnd.set('FGM Distill', 'run_name', 'measured');
    const measured = await frontEnd.lookAt('FGM Distill');
    await frontEnd.run();
    await measured.waitForState('finished', TRAINING_MS);
    expect(await measured.evaluation()).toMatch(/^energy-distance [\d.e-]+ at step 400/);
    await frontEnd.picture('measured');
  });

  describe('a distillation', () => {
    let panel: Panel;
    let stoppedAt = 0;

    test('draws its chart while it runs', { timeout: TRAINING_MS }, async () => {
      await frontEnd.openWorkflow(workflow('fgm-2d'));
      await frontEnd.set('Train Flow Teacher', 'steps', 600);
      await frontEnd.set('FGM Distill', 'steps', STEPS);
      panel = await frontEnd.lookAt('FGM Distill');
      await frontEnd.run();
      const early = await panel.past(0, TRAINING_MS);
      const drawn = await panel.pixels();
      expect(await panel.past(early + 100, TRAINING_MS)).toBeGreaterThan(early);
      expect(await panel.pixels()).not.toBe(drawn);
      expect(await panel.state()).toBe('running');
      await frontEnd.picture('distilling');
    });

    test('stops when it is cancelled, and keeps a checkpoint', {
      timeout: TRAINING_MS,
    }, async () => {
      await frontEnd.cancel();
      await panel.waitForState('stopped');
      stoppedAt = await panel.past(0, 0);
      expect(stoppedAt).toBeLessThan(STEPS);
      const runs = join(comfy.folder, 'output', 'runs');
      const students = (await readdir(runs)).filter((name) => name.startsWith('student-'));
      expect(students).toHaveLength(1);
      const files = await readdir(join(runs, students[0]!));
      expect(files.filter((name) => name.startsWith('checkpoint-'))).not.toEqual([]);
      expect(isWritten('fgm-2d/student_00001_.png')).toBe(false);
      await frontEnd.picture('cancelled');
    });

    test('goes on from there in a chart of its own', { timeout: TRAINING_MS }, async () => {
      await frontEnd.run();
      await panel.waitForState('running');
      await panel.past(stoppedAt, TRAINING_MS);
      expect(await panel.firstStep()).toBeGreaterThanOrEqual(stoppedAt);
      await frontEnd.picture('resumed');
    });

    test('keeps its chart when the page is loaded anew', { timeout: TRAINING_MS }, async () => {
      const before = await panel.past(0, TRAINING_MS);
      await frontEnd.reload();
      panel = await frontEnd.lookAt('FGM Distill');
      const after = await panel.past(before, TRAINING_MS);
      const first = await panel.firstStep();
      expect(first).toBeGreaterThanOrEqual(stoppedAt);
      expect(first).toBeLessThan(before);
      await panel.past(after, TRAINING_MS);
      expect(await panel.state()).toBe('running');
      await frontEnd.picture('reloaded');
    });

    test('ends with its pictures', { timeout: TRAINING_MS }, async () => {
      await panel.waitForState('finished', TRAINING_MS);
      expect(await panel.past(0, 0)).toBe(STEPS);
      // The teacher's may have come before the page was loaded anew, which forgets them.
      for (const title of ['Save Student Samples', 'Save Loss Plot']) {
        // ComfyUI loads the pictures of nodes that are in view.
        await frontEnd.lookAt(title);
        await expect
          .poll(() => frontEnd.pictureCount(title), { timeout: 60_000, interval: 100 })
          .toBe(1);
      }
      // ComfyUI runs branches in an order of its own: the teacher's may be the last.
      for (const name of ['teacher', 'student', 'loss']) {
        await expect
          .poll(() => isWritten(`fgm-2d/${name}_00001_.png`), { timeout: 60_000, interval: 100 })
          .toBe(true);
      }
      expect(await frontEnd.misplaced()).toEqual([]);
      await frontEnd.picture('finished');
    });

    test('is not shown by the same node of another workflow', { timeout: 60_000 }, async () => {
      await frontEnd.openWorkflow(workflow('few-steps-2d'));
      expect(await (await frontEnd.lookAt('FGM Distill')).state()).toBe('empty');
      await frontEnd.openWorkflow(workflow('fgm-2d'));
      expect(await (await frontEnd.lookAt('FGM Distill')).state()).toBe('finished');
    });

    test('is shown on nodes that the page lays out, in the light', {
      timeout: 120_000,
    }, async () => {
      await frontEnd.changeSettings({
        'Comfy.VueNodes.Enabled': true,
        'Comfy.ColorPalette': 'light',
      });
      await frontEnd.reload();
      panel = await frontEnd.lookAt('FGM Distill');
      await panel.waitForState('finished');
      expect(await panel.plotHeight()).toBeGreaterThan(80);
      await frontEnd.picture('page-nodes');
    });
  });

  test('nothing of ours has failed in the page', () => expect(frontEnd.problems).toEqual([]));
});
