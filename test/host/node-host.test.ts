/** Single nodes run for somebody else's graph: the host's side of the bridge, with the real nodes. */
import { mkdir, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import type {
  MetricsReport,
  NodeEvents,
  PreviewPicture,
  ProgressReport,
} from '../../src/bridge/protocol/node-host.ts';
import { nodeHost } from '../../src/host/node-host.ts';
import { allNodes } from '../../src/nodes/all-nodes.ts';
import { saveModel } from '../../src/trainer/run/model-file.ts';
import { engine } from '../../src/trainer/runtime/engine.ts';
import { makeRoots } from '../nodes/support.ts';
import { pixelExtractor } from '../support/pixel-extractor.ts';
import { TINY_MLP, tinyModel } from '../support/tiny-models.ts';

/** Keeps what a node tells. */
function recorder() {
  const progress: ProgressReport[] = [];
  const metrics: MetricsReport[] = [];
  const previews: PreviewPicture[] = [];
  const texts: string[] = [];
  const events: NodeEvents = {
    progress: (report) => progress.push(report),
    metrics: (report) => metrics.push(report),
    preview: (picture) => previews.push(picture),
    text: (text) => texts.push(text),
  };
  return { events, progress, metrics, previews, texts };
}

const points = {
  type: 'FLOW_DATASET',
  kind: 'points',
  set: '8g',
};

async function pointsHandle(host: ReturnType<typeof nodeHost>) {
  const { outputs } = await host.execute(
    { node: 'FlowstepDataset', inputs: { source: '8g' }, signal: new AbortController().signal },
    recorder().events,
  );
  return outputs['dataset'];
}

const tiny = { batch: 4, warmup: 0, sample_every: 1, run_name: 'points' };

describe('a node', () => {
  test('gives its outputs, and what it tells becomes events', async () => {
    const host = nodeHost(allNodes(), await makeRoots());
    const dataset = await pointsHandle(host);
    expect(dataset).toMatchObject(points);
    const told = recorder();
    const outcome = await host.execute(
      {
        node: 'FlowstepTrainTeacher',
        inputs: { dataset, steps: 2, ...tiny },
        signal: new AbortController().signal,
      },
      told.events,
    );
    expect(outcome.outputs['model']).toMatchObject({ type: 'FLOW_MODEL', root: 'output' });
    expect(told.progress.map((report) => [report.step, report.steps])).toEqual([
      [1, 2],
      [2, 2],
    ]);
    expect(Object.keys(told.metrics[0]!.metrics)).toContain('loss/teacher');
    const picture = told.previews.at(-1)!;
    expect(picture).toMatchObject({ step: 2, mime: 'image/png' });
    const { format, width, height } = await sharp(picture.bytes).metadata();
    expect([format, width, height]).toEqual(['png', picture.width, picture.height]);
  });

  test('tells what it counts where that is no step of a training', async () => {
    const roots = await makeRoots();
    const file = join(roots.data, 'cats', 'a.png');
    await mkdir(dirname(file));
    await sharp({ create: { width: 3, height: 3, channels: 3, background: '#123456' } }).toFile(
      file,
    );
    const told = recorder();
    const inputs = { source: 'folder', folder: 'cats', size: 3 };
    const { signal } = new AbortController();
    await nodeHost(allNodes(), roots).execute(
      { node: 'FlowstepDataset', inputs, signal },
      told.events,
    );
    const { counts, step, steps } = told.progress.at(-1)!;
    expect({ counts, step, steps }).toEqual({ counts: 'reading pictures', step: 1, steps: 1 });
    expect(told.texts.at(-1)).toBe('reading pictures 1/1');
  });

  test('that trains tells the device; what a node found comes first in the text of others', async () => {
    const device = 'device cpu: no other is there';
    const host = nodeHost(allNodes(), await makeRoots(), device);
    const { signal } = new AbortController();
    const run = async (node: string, inputs: Record<string, unknown>) => {
      const { events, texts } = recorder();
      const { outputs } = await host.execute({ node, inputs, signal }, events);
      return { outputs, texts };
    };
    const { outputs, texts } = await run('FlowstepDataset', { source: '8g' });
    expect(texts).toEqual([]);
    const { dataset } = outputs;
    const trained = await run('FlowstepTrainTeacher', { dataset, steps: 2, ...tiny });
    // What it wrote stands below what was told before.
    expect(trained.texts).toEqual([device, expect.stringMatching(`^${device}\nWrote runs/`)]);
    const { model } = trained.outputs;
    const drawn = await run('FlowstepTeacherSampler', { model, count: 2, steps: 2 });
    expect(drawn.texts).toEqual([]);
    const rows = { count: 8, draws: 1, steps: '1', solvers: 'euler' };
    const measured = await run('FlowstepEvaluate', { model, dataset, ...rows });
    const table = expect.stringMatching(/^8 samples against 8g\n/);
    expect(measured.texts).toEqual(['measuring rows 1/1', table]);
  });

  test('that is cancelled keeps what it trained and says INTERRUPTED', async () => {
    const roots = await makeRoots();
    const host = nodeHost(allNodes(), roots);
    const abort = new AbortController();
    const { events } = recorder();
    const run = host.execute(
      {
        node: 'FlowstepTrainTeacher',
        inputs: { dataset: await pointsHandle(host), steps: 1_000_000, ...tiny, sample_every: 0 },
        signal: abort.signal,
      },
      { ...events, progress: () => abort.abort() },
    );
    await expect(run).rejects.toMatchObject({ code: 'INTERRUPTED' });
    const files = await readdir(join(roots.output, 'runs', 'points'));
    expect(files.some((name) => name.startsWith('checkpoint-'))).toBe(true);
  });

  test('run again and again leaves no tensors bound', async () => {
    const roots = await makeRoots();
    await saveModel(
      join(roots.models, 'm.safetensors'),
      tinyModel(TINY_MLP, { tStar: 0.9, cIn: 0.9 }),
    );
    const host = nodeHost(allNodes(), roots);
    const { signal } = new AbortController();
    const { events } = recorder();
    const live: number[] = [];
    for (let round = 0; round < 3; round++) {
      const inputs = { file: 'm.safetensors' };
      const loaded = await host.execute({ node: 'FlowstepLoadModel', inputs, signal }, events);
      const { model } = loaded.outputs;
      await host.execute(
        { node: 'FlowstepOneStepSampler', inputs: { model, count: 3 }, signal },
        events,
      );
      live.push(engine().liveTensors);
    }
    expect(live[1]).toBe(live[0]);
    expect(live[2]).toBe(live[0]);
  });

  test('tells when a file has changed that it names, without what comes through links', async () => {
    const roots = await makeRoots();
    const host = nodeHost(allNodes(), roots);
    const { signal } = new AbortController();
    const ask = (node: string, inputs: Record<string, unknown>) =>
      host.fingerprint({ node, inputs, signal }, recorder().events);
    const inputs = { features: 'pixels.onnx', count: 64 };
    const missing = { code: 'FILE_NOT_FOUND', details: { node: 'FlowstepEvaluate' } };
    await expect(ask('FlowstepEvaluate', inputs)).rejects.toMatchObject(missing);
    await pixelExtractor(roots.models);
    const before = await ask('FlowstepEvaluate', inputs);
    expect(await ask('FlowstepEvaluate', inputs)).toBe(before);
    await pixelExtractor(roots.models, { preprocessing: { divide: 255 } });
    expect(await ask('FlowstepEvaluate', inputs)).not.toBe(before);
    expect(await ask('FlowstepOneStepSampler', {})).toBeUndefined();
    await expect(ask('FlowstepNone', {})).rejects.toMatchObject({ code: 'UNKNOWN_NODE' });
  });

  test('that does not exist is named, with the one that was meant', async () => {
    const host = nodeHost(allNodes(), await makeRoots());
    const { signal } = new AbortController();
    await expect(
      host.execute({ node: 'FlowstepDatset', inputs: {}, signal }, recorder().events),
    ).rejects.toMatchObject({
      code: 'UNKNOWN_NODE',
      message: expect.stringContaining('did you mean FlowstepDataset'),
    });
  });

  test('with wrong inputs tells all of them, and its own name', async () => {
    const host = nodeHost(allNodes(), await makeRoots());
    const { signal } = new AbortController();
    await expect(
      host.execute(
        { node: 'SaveImage', inputs: { images: 5, filename_prefix: '' }, signal },
        recorder().events,
      ),
    ).rejects.toMatchObject({
      code: 'WORKFLOW_INVALID',
      details: { node: 'SaveImage', issues: [{ field: 'images' }, { field: 'filename_prefix' }] },
    });
  });
});
