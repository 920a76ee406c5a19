import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { type ExecutionEvent, executeWorkflow } from '../../src/host/executor.ts';
import { defineNode } from '../../src/nodes/define-node.ts';
import { testNodes, workflowOf } from './support.ts';

const roots = { models: '/nowhere', output: '/nowhere', data: '/nowhere' };

describe('a run', () => {
  test('goes from inputs to outputs, each node once, and only those that an output needs', async () => {
    const { registry, shown, painted } = testNodes();
    const workflow = workflowOf(
      {
        1: ['Show', { image: ['3', 1], caption: 'first' }],
        2: ['Show', { image: ['4', 0], caption: 'second' }],
        3: ['Mix', { a: ['4', 0], b: ['4', 0] }],
        4: ['Paint', {}],
        5: ['Paint', {}],
      },
      registry,
    );
    const runs = await executeWorkflow(workflow, { registry, roots });
    expect(runs.map((run) => run.node)).toEqual(['4', '3', '1', '2']);
    expect(shown).toEqual(['first', 'second']);
    expect(painted()).toBe(1);
  });

  test('tells what happens in order', async () => {
    const { registry } = testNodes();
    const workflow = workflowOf(
      { 1: ['Paint', {}], 2: ['Show', { image: ['1', 0], caption: 'x' }] },
      registry,
    );
    const events: ExecutionEvent[] = [];
    await executeWorkflow(workflow, { registry, roots, onEvent: (event) => events.push(event) });
    expect(events.map((event) => [event.kind, event.node.id])).toEqual([
      ['started', '1'],
      ['finished', '1'],
      ['started', '2'],
      ['progress', '2'],
      ['finished', '2'],
    ]);
    expect(events.at(-1)).toMatchObject({ files: ['x.txt'] });
  });

  test('passes on what a node notices', async () => {
    const noticing = defineNode({
      id: 'Notice',
      displayName: 'Notice',
      category: 'tests',
      description: 'For tests.',
      outputNode: true,
      inputs: z.object({}),
      outputs: {},
      async execute(_, context) {
        context.onNotice?.('it is late');
        return { outputs: {} };
      },
    });
    const { registry } = testNodes([noticing]);
    const events: ExecutionEvent[] = [];
    const onEvent = (event: ExecutionEvent) => events.push(event);
    await executeWorkflow(workflowOf({ 4: ['Notice', {}] }, registry), {
      registry,
      roots,
      onEvent,
    });
    expect(events[1]).toMatchObject({ kind: 'notice', node: { id: '4' }, message: 'it is late' });
  });

  test('passes values over links into widgets', async () => {
    const { registry, shown } = testNodes();
    const workflow = workflowOf(
      {
        1: ['Paint', {}],
        2: ['Mix', { a: ['1', 0], b: ['1', 0], name: 'from a link' }],
        3: ['Show', { image: ['2', 1], caption: ['2', 0] }],
      },
      registry,
    );
    await executeWorkflow(workflow, { registry, roots });
    expect(shown).toEqual(['from a link']);
  });
});

describe('the result of a run', () => {
  test('has the outputs of every node by name, and why others are not there', async () => {
    const { registry } = testNodes();
    const workflow = workflowOf(
      {
        1: ['Paint', { grey: 0.25 }, 'Brush'],
        2: ['Mix', { a: ['1', 0], b: ['1', 0], name: 'both' }],
        3: ['Show', { image: ['2', 1], caption: 'x' }],
      },
      registry,
    );
    const [paint, mix, show] = await executeWorkflow(workflow, { registry, roots });
    const image = { dtype: 'float32', shape: [1, 2, 2, 3], data: new Float32Array(12).fill(0.25) };
    expect(paint).toEqual({
      node: '1',
      type: 'Paint',
      title: 'Brush',
      cached: false,
      seconds: expect.any(Number),
      files: [],
      outputs: { image },
      blocked: { latent: 'paint has no latent' },
    });
    expect(mix).toMatchObject({ outputs: { name: 'both', image }, blocked: {} });
    expect(show).toMatchObject({ outputs: {}, files: ['x.txt'] });
  });
});

describe('a run that fails', () => {
  test('names the node by id and title, and keeps code and hint', async () => {
    const { registry, shown } = testNodes();
    const workflow = workflowOf(
      {
        1: ['Paint', {}],
        7: ['Fail', { image: ['1', 0] }, 'My Step'],
        8: ['Show', { image: ['7', 0] }],
      },
      registry,
    );
    await expect(executeWorkflow(workflow, { registry, roots })).rejects.toMatchObject({
      code: 'DATASET_INVALID',
      message: 'node 7 (My Step): no data',
      details: { node: '7', hint: 'Bring data.' },
    });
    expect(shown).toEqual([]);
  });

  test('says why an output that is linked is not there', async () => {
    const { registry } = testNodes();
    const workflow = workflowOf(
      { 1: ['Paint', {}], 2: ['Show', { image: ['1', 0], latent: ['1', 1] }] },
      registry,
    );
    await expect(executeWorkflow(workflow, { registry, roots })).rejects.toMatchObject({
      code: 'WORKFLOW_INVALID',
      message: 'node 2 (Show): there is no latent from node 1 (Paint): paint has no latent',
    });
  });

  test('runs what does not depend on it, and tells of all output nodes that do', async () => {
    const { registry, shown, mixed } = testNodes();
    const workflow = workflowOf(
      {
        1: ['Paint', {}],
        2: ['Show', { image: ['1', 0], latent: ['1', 1], caption: 'blocked' }],
        3: ['Mix', { a: ['1', 0], b: ['1', 0], mask: ['1', 1] }],
        4: ['Show', { image: ['3', 1], caption: 'after it' }],
        5: ['Show', { image: ['1', 0], caption: 'apart' }],
      },
      registry,
    );
    const notices: string[] = [];
    const running = executeWorkflow(workflow, {
      registry,
      roots,
      onEvent: (event) => event.kind === 'notice' && notices.push(event.message),
    });
    const why = 'there is no latent from node 1 (Paint): paint has no latent';
    await expect(running).rejects.toMatchObject({
      code: 'WORKFLOW_INVALID',
      message: '2 nodes were left out',
      details: {
        issues: [
          { node: '2 (Show)', message: why },
          { node: '4 (Show)', message: why },
        ],
      },
    });
    expect(notices).toEqual([`left out: ${why}`, `left out: ${why}`]);
    expect(shown).toEqual(['apart']);
    expect(mixed()).toBe(0);
  });
});

describe('cancelling', () => {
  test('before the start runs nothing', async () => {
    const { registry, painted } = testNodes();
    const workflow = workflowOf({ 1: ['Paint', {}], 2: ['Show', { image: ['1', 0] }] }, registry);
    const running = executeWorkflow(workflow, { registry, roots, signal: AbortSignal.abort() });
    await expect(running).rejects.toMatchObject({ code: 'INTERRUPTED' });
    expect(painted()).toBe(0);
  });

  test('within a node is an interruption, however the node ends', async () => {
    const { registry, shown } = testNodes();
    const abort = new AbortController();
    const workflow = workflowOf(
      { 1: ['Paint', {}], 2: ['Wait', { image: ['1', 0] }], 3: ['Show', { image: ['2', 0] }] },
      registry,
    );
    const running = executeWorkflow(workflow, {
      registry,
      roots,
      signal: abort.signal,
      onEvent: (event) => {
        if (event.kind === 'started' && event.node.id === '2') queueMicrotask(() => abort.abort());
      },
    });
    await expect(running).rejects.toMatchObject({ code: 'INTERRUPTED' });
    expect(shown).toEqual([]);
  });
});
