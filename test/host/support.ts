/** @file A few nodes without numbers, to test what the host does with any nodes. */
import { z } from 'zod';
import { FlowstepError } from '../../src/errors.ts';
import { parseWorkflow, type Workflow } from '../../src/host/workflow.ts';
import { defineNode, type FlowNode } from '../../src/nodes/define-node.ts';
import { ImageSchema, LatentSchema } from '../../src/nodes/handles.ts';
import { createRegistry, type NodeRegistry } from '../../src/nodes/registry.ts';
import { float32 } from '../../src/trainer/tensor.ts';

const image = ImageSchema.meta({ tooltip: 'An image.' });
const common = { category: 'tests', description: 'For tests.' };

export interface TestNodes {
  readonly registry: NodeRegistry;
  /** Captions that Show nodes were run with. */
  readonly shown: string[];
  /** How often a Paint node ran. */
  painted(): number;
  /** How often a Mix node ran. */
  mixed(): number;
}

/** Paint (gives an IMAGE), Mix (IMAGE, IMAGE -> IMAGE), Show (output node), Fail and Wait. */
export function testNodes(extra: readonly FlowNode[] = []): TestNodes {
  const shown: string[] = [];
  let painted = 0;
  let mixed = 0;
  const nodes = [
    defineNode({
      ...common,
      id: 'Paint',
      displayName: 'Paint',
      inputs: z.object({
        grey: z.number().min(0).max(1).default(0.5).meta({ tooltip: 'Shade.' }),
        seed: z.int().min(0).max(1000).default(0).meta({ tooltip: 'Seed.' }),
        style: z.enum(['flat', 'noisy']).default('flat').meta({ tooltip: 'Style.' }),
      }),
      outputs: { image, latent: LatentSchema.optional().meta({ tooltip: 'Never there.' }) },
      async execute({ grey }) {
        painted++;
        const pixels = float32(new Float32Array(12).fill(grey), [1, 2, 2, 3]);
        return { outputs: { image: pixels }, blocked: { latent: 'paint has no latent' } };
      },
    }),
    defineNode({
      ...common,
      id: 'Mix',
      displayName: 'Mix',
      inputs: z.object({
        a: image,
        b: image,
        name: z.string().default('mix').meta({ tooltip: 'Name.' }),
        mask: ImageSchema.optional().meta({ tooltip: 'Optional.' }),
      }),
      outputs: { name: z.string().meta({ tooltip: 'Its name.' }), image },
      async execute({ a, name }) {
        mixed++;
        return { outputs: { name, image: a } };
      },
    }),
    defineNode({
      ...common,
      id: 'Show',
      displayName: 'Show',
      outputNode: true,
      inputs: z.object({
        image,
        caption: z.string().default('').meta({ tooltip: 'Caption.' }),
        isLoud: z.boolean().default(false).meta({ tooltip: 'Loud.' }),
        latent: LatentSchema.optional().meta({ tooltip: 'Optional.' }),
      }),
      outputs: {},
      async execute({ caption }, context) {
        shown.push(caption);
        const rate = { stepsPerSecond: 1, etaSeconds: 0 };
        context.onProgress({ kind: 'step', step: 1, steps: 1, metrics: {}, ...rate });
        return { outputs: {}, files: [`${caption}.txt`] };
      },
    }),
    defineNode({
      ...common,
      id: 'Fail',
      displayName: 'Fail',
      inputs: z.object({ image }),
      outputs: { image },
      async execute() {
        throw new FlowstepError('DATASET_INVALID', 'no data', { hint: 'Bring data.' });
      },
    }),
    defineNode({
      ...common,
      id: 'Wait',
      displayName: 'Wait',
      inputs: z.object({ image }),
      outputs: { image },
      execute: (_, { signal }) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => reject(new Error('stopped')), { once: true });
        }),
    }),
    ...extra,
  ];
  return { registry: createRegistry(nodes), shown, painted: () => painted, mixed: () => mixed };
}

type Nodes = Readonly<
  Record<string, readonly [type: string, inputs: Record<string, unknown>, title?: string]>
>;

/** A workflow from `{ id: [type, inputs, title] }`. */
export function workflowOf(nodes: Nodes, registry: NodeRegistry): Workflow {
  const api = Object.entries(nodes).map(([id, [class_type, inputs, title]]) => [
    id,
    { class_type, inputs, ...(title !== undefined && { _meta: { title } }) },
  ]);
  return parseWorkflow(Object.fromEntries(api), registry, 'test.json');
}
