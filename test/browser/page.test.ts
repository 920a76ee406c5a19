/** @file What a page shows of nodes and of runs that others see too, in the real ComfyUI. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { ComfyUi, NO_COMFYUI, PACK } from '../comfyui/comfyui.ts';
import { FrontEnd, NO_CHROMIUM } from './front-end.ts';

const SKIPPED = NO_COMFYUI ?? NO_CHROMIUM;

const TRAINING_MS = 240_000;

const workflow = (name: string) => join(PACK, 'workflows', `${name}.json`);

describe.skipIf(SKIPPED)('in the browser', () => {
  let comfy: ComfyUi;
  let frontEnd: FrontEnd;

  beforeAll(async () => {
    if (!existsSync(join(PACK, 'web/flowstep.js'))) throw new Error('npm run build');
    comfy = await ComfyUi.start();
    frontEnd = await FrontEnd.open(comfy.url);
  }, 300_000);

  afterEach(async ({ task }) => {
    if (task.result?.state !== 'fail' || !frontEnd) return;
    await frontEnd.picture('failed');
    console.error((await comfy.log()).slice(-4000));
  });

  afterAll(async () => {
    await frontEnd?.[Symbol.asyncDispose]();
    await comfy?.[Symbol.asyncDispose]();
  }, 60_000);

  describe('Load Flow Model', () => {
    const loaded = async () =>
      Object.values((await frontEnd.prompt()) as Record<string, { inputs: object }>).find(
        ({ inputs }) => 'made_by' in inputs,
      )?.inputs;

    test('keeps what its workflow says about the file', { timeout: 60_000 }, async () => {
      await frontEnd.openWorkflow(workflow('fashion-one-step'));
      await frontEnd.choose('Load Flow Model', 'file', 'fashion/student.safetensors');
      expect(await loaded()).toMatchObject({
        sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
        made_by: 'workflows/fashion-distill.json',
      });
    });

    test('takes another file', { timeout: TRAINING_MS }, async () => {
      await frontEnd.choose('Load Flow Model', 'file', 'fashion/student-real.safetensors');
      expect(await loaded()).toMatchObject({
        file: 'fashion/student-real.safetensors',
        sha256: '',
        made_by: '',
      });
      await frontEnd.run();
      await expect
        .poll(() => frontEnd.pictureCount('Save Image'), { timeout: TRAINING_MS, interval: 100 })
        .toBe(1);
    });
  });

  describe('a chart', () => {
    test('has room for the longest numbers', { timeout: 60_000 }, async () => {
      await frontEnd.openWorkflow(workflow('fgm-2d'));
      const panel = await frontEnd.lookAt('FGM Distill');
      const node = await frontEnd.id('FGM Distill');
      for (const [value, text] of [
        [-888_888, '-8.89e5'],
        [-88_888, '-88900'],
        [-0.08888, '-0.0889'],
        [-0.0008888, '-8.9e-4'],
        [-8.888e-38, '-9e-38'],
      ] as const) {
        const metrics = { 'loss/student': value, 'loss/online': value, 'distance/student': value };
        const event = { prompt_id: 'p', node, step: 999_999, steps: 1_000_000, metrics };
        await frontEnd.receive('flowstep.metrics', event);
        await expect
          .poll(() => panel.legend())
          .toEqual({ values: [text, text, text], isWhole: true });
        await frontEnd.picture(`longest${text}`);
      }
      // No such prompt is in ComfyUI's queue.
      await frontEnd.receive('status', {});
      await panel.waitForState('stopped');
    });

    test('keeps its width beside the panel of properties', { timeout: 60_000 }, async () => {
      const panel = await frontEnd.lookAt('FGM Distill');
      const width = await panel.width();
      await frontEnd.openProperties('FGM Distill');
      await frontEnd.picture('properties');
      expect(await panel.width()).toBe(width);
      await frontEnd.closeProperties();
      expect(await panel.width()).toBe(width);
    });
  });

  test('a node is as high as before when advanced inputs are hidden again', {
    timeout: 60_000,
  }, async () => {
    const height = await frontEnd.height('FGM Distill');
    await frontEnd.toggleAdvanced('FGM Distill');
    expect(await frontEnd.height('FGM Distill')).toBeGreaterThan(height);
    await frontEnd.toggleAdvanced('FGM Distill');
    expect(await frontEnd.height('FGM Distill')).toBe(height);
  });

  describe('a training on nodes that the page lays out', () => {
    test('is seen by another page too, on no other workflow', {
      timeout: TRAINING_MS,
    }, async () => {
      await frontEnd.changeSettings({ 'Comfy.VueNodes.Enabled': true });
      await frontEnd.reload();
      await frontEnd.openWorkflow(workflow('fgm-2d'));
      await frontEnd.set('Train Flow Teacher', 'steps', 200);
      await frontEnd.set('FGM Distill', 'steps', 500);
      await using another = await FrontEnd.open(comfy.url);
      await another.openWorkflow(workflow('fgm-2d'));
      const theirs = await another.lookAt('FGM Distill');
      await frontEnd.run();
      const begun = await theirs.past(0, TRAINING_MS);
      await theirs.past(begun, TRAINING_MS);
      await another.openWorkflow(workflow('few-steps-2d'));
      expect(await (await another.lookAt('FGM Distill')).state()).toBe('empty');
      await another.openWorkflow(workflow('fgm-2d'));
      await (await another.lookAt('FGM Distill')).waitForState('finished', TRAINING_MS);
      await another.picture('another-page');
      expect(another.problems).toEqual([]);
    });

    test('leaves every node in its place', { timeout: TRAINING_MS }, async () => {
      for (const title of ['Save Student Samples', 'Save Teacher Samples', 'Save Loss Plot']) {
        await frontEnd.lookAt(title);
        await expect
          .poll(() => frontEnd.pictureCount(title), { timeout: TRAINING_MS, interval: 100 })
          .toBe(1);
      }
      await frontEnd.lookAt('FGM Distill', 0.45);
      await frontEnd.picture('page-nodes-run');
      expect(await frontEnd.misplaced()).toEqual([]);
    });

    test('is stopped when ComfyUI has ended and is started again', {
      timeout: 2 * TRAINING_MS,
    }, async () => {
      await frontEnd.openWorkflow(workflow('fgm-2d'));
      await frontEnd.set('Train Flow Teacher', 'steps', 200);
      await frontEnd.set('FGM Distill', 'run_name', 'cut-off');
      await frontEnd.set('FGM Distill', 'steps', 50_000);
      const panel = await frontEnd.lookAt('FGM Distill');
      await frontEnd.run();
      await panel.waitForState('running', TRAINING_MS);
      await comfy.kill('SIGKILL');
      const { folder, url } = comfy;
      comfy = await ComfyUi.start({ folder, port: Number(new URL(url).port) });
      await panel.waitForState('stopped', TRAINING_MS);
    });
  });

  test('nothing of ours has failed in the page', () => expect(frontEnd.problems).toEqual([]));
});
