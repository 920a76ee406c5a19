/** @file Our nodes in the real ComfyUI send what its own nodes sent when the golden traces were recorded. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ComfyClient, type Frame, progressText } from './comfy-client.ts';
import { ComfyUi, NO_COMFYUI, PEER } from './comfyui.ts';

const TRACES = join(PEER, 'golden/traces');
const HAS_TRACES = existsSync(TRACES);
if (!HAS_TRACES) console.warn(`skipped: there are no golden traces in ${TRACES}`);

/** Longer than any test. */
const ENDLESS = 1_000_000;

const model = {
  class_type: 'FlowstepLoadModel',
  inputs: { file: 'fashion/student.safetensors' },
};
const dataset = { class_type: 'FlowstepDataset', inputs: { source: '8g' } };
const empty = {
  class_type: 'EmptyImage',
  inputs: { width: 34, height: 16, batch_size: 1, color: 0 },
};

/** A node 2 that trains, between the node that it needs and one that needs it. */
function training(steps: number, batch: number) {
  const run = { sample_every: 2, checkpoint_every: 0, run_name: `trace-${steps}-${batch}` };
  return {
    1: dataset,
    2: {
      class_type: 'FlowstepTrainTeacher',
      inputs: { dataset: ['1', 0], steps, batch, warmup: 0, ...run },
    },
    3: { class_type: 'FlowstepSaveModel', inputs: { model: ['2', 0], filename_prefix: 'trace' } },
  };
}

describe.skipIf(NO_COMFYUI || !HAS_TRACES)('as in the golden trace', () => {
  let comfy: ComfyUi;

  beforeAll(async () => {
    comfy = await ComfyUi.start();
  });

  afterAll(async () => {
    await comfy[Symbol.asyncDispose]();
  });

  test('trivial_success', async () => {
    using client = await comfy.connect();
    const grid = { class_type: 'FlowstepPictureGrid', inputs: { images: ['1', 0] } };
    const save = { class_type: 'SaveImage', inputs: { images: ['2', 0], filename_prefix: 'x' } };
    const { frames } = await client.run({ 1: empty, 2: grid, 3: save });
    const golden = trace('trivial_success');
    // The trace has one node less, and a node that is no output adds these.
    const first = golden.findIndex(({ type }) => type === 'executing');
    const more = ['progress_state', 'executing', 'progress_state'];
    const types = typesOf(golden);
    expect(typesOf(frames)).toEqual([
      ...types.slice(0, first + 2),
      ...more,
      ...types.slice(first + 2),
    ]);
    expectSameKeys(frames, golden);
  });

  test('node_raises', async () => {
    using client = await comfy.connect();
    const sampler = { class_type: 'FlowstepTeacherSampler', inputs: { model: ['1', 0] } };
    const save = { class_type: 'SaveImage', inputs: { images: ['2', 1], filename_prefix: 'x' } };
    const { frames, entry } = await client.run({ 1: model, 2: sampler, 3: save });
    const golden = trace('node_raises');
    expect(typesOf(frames)).toEqual(typesOf(golden));
    expectSameKeys(frames, golden);
    expect(entry.status).toMatchObject({ status_str: 'error', completed: false });
    const error = frames.find(({ type }) => type === 'execution_error')!.data;
    expect(error).toMatchObject({ node_id: '2', executed: ['1'] });
    expect(String(error['exception_message'])).toContain('use One-Step Sampler');
  });

  test('interrupt', async () => {
    using client = await comfy.connect();
    const from = client.frames.length;
    const id = await client.queue(training(ENDLESS, 64));
    await client.until(({ type, data }) => type === 'flowstep.metrics' && Number(data['step']) > 5);
    await client.post('/interrupt', {});
    await client.ended(id);
    const golden = trace('interrupt');
    const frames = client.frames.slice(from);
    expect(withoutProgress(frames)).toEqual(withoutProgress(golden));
    expectSameKeys(frames, golden);
    const interrupted = frames.find(({ type }) => type === 'execution_interrupted')!.data;
    expect(interrupted).toMatchObject({ node_id: '2', executed: ['1'] });
  });

  test.each([
    ['progress_preview_plain', undefined, 'binary preview', [-1, 'progress']],
    [
      'progress_preview_metadata',
      { supports_preview_metadata: true },
      'binary preview with metadata',
      [1, 'progress'],
    ],
  ] as const)('%s', async (name, flags, preview, [at, neighbour]) => {
    using client = await comfy.connect(flags);
    const { frames } = await client.run(training(4, flags ? 8 : 16));
    const golden = trace(name);
    for (const recorded of [frames, golden]) {
      const types = recorded.map(({ type }) => type);
      const places = types.flatMap((type, index) => (type === preview ? [index] : []));
      expect(places.length).toBeGreaterThan(0);
      for (const place of places) expect(types[place + at], name).toBe(neighbour);
    }
    expectSameKeys(frames, golden);
    const picture = frames.find(({ type }) => type === preview)!.bytes!;
    expect(picture.includes(Buffer.from('89504e470d0a1a0a', 'hex'))).toBe(true);
    if (flags) expect(metaKeys(picture)).toEqual(goldenMetaKeys(name));
  });

  test('progress_text_and_custom_event', async () => {
    using client = await comfy.connect();
    const { frames } = await client.run(training(4, 32));
    const texts = frames.filter(({ type }) => type === 'binary text').map(progressText);
    expect(texts.filter(({ node }) => node === '2')).toEqual([
      { node: '2', text: expect.stringMatching(/^device .+$/) },
      { node: '2', text: expect.stringMatching(/^device .+\nWrote runs\//) },
    ]);
    const golden = recordedFrames('progress_text_and_custom_event')
      .map(({ binary }) => binary?.hex)
      .find(Boolean);
    const bytes = Buffer.from(golden!, 'hex');
    expect(progressText({ type: '', data: {}, bytes })).toEqual({ node: '1', text: 'step 1 é' });
    const event = frames.find(({ type }) => type === 'flowstep.metrics')!.data;
    expect(event).toMatchObject({ node: '2', step: 1, steps: 4 });
    await expectOnlyOwnEvents(client);
  });

  /** Another client sees nothing of it but the metrics, which the same workflow shows on every page. */
  async function expectOnlyOwnEvents(client: ComfyClient): Promise<void> {
    using other = await comfy.connect();
    await client.run(training(4, 24));
    expect(new Set(typesOf(other.frames))).toEqual(new Set(['status', 'flowstep.metrics']));
  }
});

interface RecordedFrame {
  readonly data?: Frame;
  readonly binary?: { readonly event: number; readonly hex?: string; readonly meta?: object };
}

const BINARY_TYPES = ['', 'binary preview', '', 'binary text', 'binary preview with metadata'];

function recordedFrames(name: string): readonly RecordedFrame[] {
  const file = readFileSync(join(TRACES, `${name}.json`), 'utf8');
  const { ws } = JSON.parse(file) as { ws: Record<string, RecordedFrame[]> };
  return ws['client-a']!;
}

/** What the client of the recording received, without the status that greets a client. */
function trace(name: string): Frame[] {
  return recordedFrames(name).flatMap(({ data, binary }) => {
    if (data) return 'sid' in data.data ? [] : [data];
    return binary ? [{ type: BINARY_TYPES[binary.event]!, data: {} }] : [];
  });
}

function typesOf(frames: readonly Frame[]): string[] {
  return frames.map(({ type }) => type);
}

const PROGRESS = /^(progress|flowstep\.|binary)/;

/** What is said about progress is another number of frames each time. */
function withoutProgress(frames: readonly Frame[]): string[] {
  return typesOf(frames).filter(
    (type, index, types) => !PROGRESS.test(type) && type !== types[index - 1],
  );
}

/** Messages of one type have the same members. */
function expectSameKeys(frames: readonly Frame[], golden: readonly Frame[]): void {
  for (const { type, data } of frames) {
    const same = golden.filter((frame) => frame.type === type);
    if (same.length === 0 || type.startsWith('binary')) continue;
    const keys = same.map((frame) => Object.keys(frame.data).sort());
    expect(keys, type).toContainEqual(Object.keys(data).sort());
  }
}

function metaKeys(frame: Buffer): string[] {
  const meta = frame.subarray(8, 8 + frame.readUInt32BE(4)).toString();
  return Object.keys(JSON.parse(meta) as object).sort();
}

function goldenMetaKeys(name: string): string[] {
  const meta = recordedFrames(name).find(({ binary }) => binary?.meta)!.binary!.meta!;
  return Object.keys(meta).sort();
}
