import { describe, expect, test } from 'vitest';
import type { ComfyGraph, ComfyNode } from '../../src-web/comfy.ts';
import { findNode } from '../../src-web/find-node.ts';
import { ELSEWHERE, endings, runningPrompts, workflowOf } from '../../src-web/workflow-of.ts';

const item = (promptId: string, workflow: unknown) => [
  3,
  promptId,
  {},
  { extra_pnginfo: { workflow } },
  [],
];

/** ComfyUI with these answers by path; 404 elsewhere. */
function api(answers: Readonly<Record<string, unknown>>) {
  return {
    fetchApi: async (path: string) =>
      path in answers ? Response.json(answers[path]) : new Response('', { status: 404 }),
    addEventListener: () => undefined,
  };
}

describe('the workflow of a prompt', () => {
  const queue = { queue_running: [item('other', { id: 'w0' }), item('p', { id: 'w1' })] };

  test.each([
    { name: 'while it runs', answers: { '/queue': queue }, expected: 'w1' },
    {
      name: 'after its end',
      answers: {
        '/queue': { queue_running: [] },
        '/history/p': { p: { prompt: item('p', { id: 'w2' }) } },
      },
      expected: 'w2',
    },
    {
      name: 'without an id',
      answers: {
        '/queue': {
          queue_running: [item('p', { id: '00000000-0000-0000-0000-000000000000' })],
        },
      },
      expected: null,
    },
    {
      name: 'of a program that sends none',
      answers: { '/queue': { queue_running: [[3, 'p', {}, {}, []]] } },
      expected: null,
    },
    { name: 'that ComfyUI has forgotten', answers: {}, expected: null },
    {
      name: 'of another form',
      answers: { '/queue': { queue_running: 5 }, '/history/p': [] },
      expected: null,
    },
  ])('$name', async ({ answers, expected }) => {
    expect(await workflowOf(api(answers), 'p')).toBe(expected);
  });

  test.each([
    { client: 'me', expected: null },
    { client: 'another', expected: ELSEWHERE },
  ])('without an id belongs to the page of $client', async ({ client, expected }) => {
    const queued = { queue_running: [[3, 'p', {}, { client_id: client }, []]] };
    const page = { ...api({ '/queue': queued }), clientId: 'me' };
    expect(await workflowOf(page, 'p')).toBe(expected);
  });

  test('running prompts are known', async () => {
    expect(await runningPrompts(api({ '/queue': queue }))).toEqual(new Set(['other', 'p']));
  });
});

describe('executions that are over', () => {
  const over = (promptId: string, messages: unknown) => [
    `/history/${promptId}`,
    { [promptId]: { prompt: [], status: { messages } } },
  ];
  const start = ['execution_start', { prompt_id: 'p' }];
  const history = Object.fromEntries([
    over('done', [start, ['execution_success', {}]]),
    over('cancelled', [start, ['execution_interrupted', {}]]),
    over('wrong', [start, ['execution_error', {}]]),
    over('odd', 5),
  ]);
  const queue = { queue_running: [item('runs', {})], queue_pending: [item('waits', {})] };
  const prompts = ['runs', 'done', 'cancelled', 'wrong', 'odd', 'forgotten', 'done'];

  test('ended as the history tells', async () => {
    expect(
      Object.fromEntries(await endings(api({ '/queue': queue, ...history }), prompts)),
    ).toEqual({
      done: 'finished',
      cancelled: 'stopped',
      wrong: 'failed',
      odd: 'stopped',
      forgotten: 'stopped',
    });
  });

  test('are not known where ComfyUI does not answer', async () => {
    expect((await endings(api(history), prompts)).size).toBe(0);
  });
});

describe('a node', () => {
  const node = (id: string, subgraph?: ComfyGraph) => ({ id, subgraph }) as ComfyNode;
  const graph = (...nodes: ComfyNode[]): ComfyGraph => ({
    getNodeById: (id) => nodes.find((one) => one.id === id),
  });
  const inner = node('4');
  const root = graph(node('4'), node('7', graph(node('9', graph(inner)))));

  test('in subgraphs is found', () => expect(findNode(root, '7:9:4')).toBe(inner));

  test.each(['5', '7:5', '4:4', '7:9:4:1'])('%s is not there', (id) => {
    expect(findNode(root, id)).toBeUndefined();
  });
});
