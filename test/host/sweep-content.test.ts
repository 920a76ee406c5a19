/** Rows of a sweep are found again only while the files that their nodes name are the same, links or not. */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { contentKeys, Fingerprints } from '../../src/host/sweep/content-keys.ts';
import { parseWorkflow } from '../../src/host/workflow.ts';
import { allNodes } from '../../src/nodes/all-nodes.ts';
import type { Roots } from '../../src/nodes/node-context.ts';
import { writePrompts } from '../../src/trainer/data/prompts.ts';
import { float32 } from '../../src/trainer/tensor.ts';
import { makeRoots } from '../nodes/support.ts';
import { pixelExtractor } from '../support/pixel-extractor.ts';

async function keyOf(node: string, workflow: object, roots: Roots): Promise<string | undefined> {
  const registry = allNodes();
  const fingerprints = new Fingerprints(roots, new AbortController().signal);
  const parsed = parseWorkflow(workflow, registry, 'a test');
  return (await contentKeys(parsed, registry, fingerprints)).get(node);
}

describe('a node with links is another', () => {
  const data = { class_type: 'FlowstepDataset', inputs: { source: '8g' } };
  const teacher = { class_type: 'FlowstepTrainTeacher', inputs: { dataset: ['data', 0] } };
  const seen = { features: 'pixels.onnx' };

  test.each([
    ['Evaluate Flow', 'FlowstepEvaluate', { model: ['teacher', 0], dataset: ['data', 0], ...seen }],
    [
      'Train Flow Teacher that evaluates',
      'FlowstepTrainTeacher',
      { dataset: ['data', 0], evaluate_every: 2, ...seen },
    ],
  ])('%s when the extractor that it names changes', async (_, class_type, inputs) => {
    const roots = await makeRoots();
    const workflow = { data, teacher, it: { class_type, inputs } };
    await pixelExtractor(roots.models);
    const before = await keyOf('it', workflow, roots);
    expect(await keyOf('it', workflow, roots)).toBe(before);
    await pixelExtractor(roots.models, { preprocessing: { divide: 255 } });
    expect(await keyOf('it', workflow, roots)).not.toBe(before);
  });

  test('Flow Prompt Set when its file changes', async () => {
    const roots = await makeRoots();
    const write = (name: string, value: number) => {
      const rows = {
        context: float32(new Float32Array(8).fill(value), [1, 2, 4]),
        pooled: float32(new Float32Array(3).fill(value), [1, 3]),
      };
      return writePrompts(join(roots.data, name), rows, undefined);
    };
    const set = (inputs: object) => ({ class_type: 'FlowstepPromptSet', inputs });
    const workflow = {
      a: set({ file: 'a.safetensors' }),
      b: set({ file: 'b.safetensors', prompts: ['a', 0] }),
      c: set({ prompts: ['a', 0] }),
    };
    await write('a.safetensors', 1);
    await write('b.safetensors', 1);
    const before = await keyOf('b', workflow, roots);
    const other = await keyOf('c', workflow, roots);
    await write('b.safetensors', 2);
    expect(await keyOf('b', workflow, roots)).not.toBe(before);
    expect(await keyOf('c', workflow, roots)).toBe(other);
  });
});
