/** Sweep files: what they may say, what rows they become, and what is refused before anything runs. */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readRoots } from '../../src/config.ts';
import { labelOf, planSweep } from '../../src/host/sweep/plan.ts';
import { parseSweep, readSweepFile } from '../../src/host/sweep/sweep-file.ts';
import { allNodes } from '../../src/nodes/all-nodes.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { sweepFile, tinySweep, tinyWorkflow } from './sweep-support.ts';

async function plan(content: object, file = 'test.json') {
  return planSweep(parseSweep(content, file), {
    registry: allNodes(),
    roots: readRoots({}, { output: await tempFolder() }),
    signal: new AbortController().signal,
    file,
  });
}

const keysOf = async (content: object) => (await plan(content)).rows.map(({ job }) => job.key);

describe('rows', () => {
  test('are every entry of the list with every combination of the grid and every seed', async () => {
    const { rows, parameters } = await plan(
      tinySweep({
        list: [{ 'student.lambda1': 1 }, { 'student.lambda1': 0, 'FlowstepOnlineFlow.updates': 3 }],
        grid: { 'student.t_star': [0.9, 0.97] },
      }),
    );
    expect(parameters).toEqual(['student.t_star', 'student.lambda1', 'FlowstepOnlineFlow.updates']);
    expect(rows.map(labelOf).slice(0, 5)).toEqual([
      // What a row leaves as it is is shown as the workflow has it: here by default.
      'student.t_star=0.9 student.lambda1=1 FlowstepOnlineFlow.updates=1 seed=0',
      'student.t_star=0.9 student.lambda1=1 FlowstepOnlineFlow.updates=1 seed=1',
      'student.t_star=0.9 student.lambda1=0 FlowstepOnlineFlow.updates=3 seed=0',
      'student.t_star=0.9 student.lambda1=0 FlowstepOnlineFlow.updates=3 seed=1',
      'student.t_star=0.97 student.lambda1=1 FlowstepOnlineFlow.updates=1 seed=0',
    ]);
    const { workflow } = rows.at(-1)!.job;
    expect(workflow).toMatchObject({
      student: { inputs: { lambda1: 0, t_star: 0.97, seed: 1, resume: 'auto' } },
      online: { inputs: { updates: 3 } },
    });
    expect(new Set(rows.map(({ job }) => job.key)).size).toBe(8);
  });

  test('keep their keys when nodes are called otherwise and where runs are kept changes', async () => {
    const before = await keysOf(tinySweep());
    const { student, ...others } = tinyWorkflow();
    const inputs = { ...student.inputs, checkpoint_every: 7, run_name: 'mine', resume: 'never' };
    const renamed = tinySweep({
      workflow: { ...others, '9': { ...student, inputs, _meta: { title: 'student' } } },
    });
    expect(await keysOf(renamed)).toEqual(before);
    // What is a default need not be written.
    expect(await keysOf(tinySweep({ set: { 'student.lambda1': 0 } }))).toEqual(before);
  });

  test.each([
    ['an input of the student', { set: { 'student.batch': 17 } }],
    ['steps, which are no part of a run identity', { set: { 'student.steps': 6 } }],
    ['an input of the teacher', { set: { 'teacher.seed': 3 } }],
    ['the data', { set: { 'data.source': '8g' } }],
    ['how it is measured', { measure: [{ model: 'student', draws: 3, samples: 100 }] }],
  ])('have other keys when %s changes', async (_, change) => {
    const [before, after] = [await keysOf(tinySweep()), await keysOf(tinySweep(change))];
    expect(after.filter((key) => before.includes(key))).toEqual([]);
  });

  test('have the teacher in common, and students of different length no run', async () => {
    const { rows, shared } = await plan(
      tinySweep({ grid: { 'student.steps': [5, 10] }, seeds: undefined }),
    );
    expect(shared.map(({ job }) => Object.keys(job.workflow))).toEqual([['data', 'teacher']]);
    const [teacher] = shared;
    expect(rows.map(({ needs }) => needs)).toEqual([[teacher!.name], [teacher!.name]]);
    const own = rows.map(({ job }) => job.ownRuns);
    expect(own.map((runs) => runs.length)).toEqual([1, 1]);
    expect(own[0]).not.toEqual(own[1]);
  });

  test('of chained trainings share them in order', async () => {
    const base = tinyWorkflow();
    const again = {
      class_type: 'FlowstepDistill',
      inputs: { ...base.student.inputs, online: ['student', 1], steps: 6 },
    };
    const { shared } = await plan(
      tinySweep({
        workflow: { again, ...base },
        grid: { 'again.lambda1': [0, 1] },
        seeds: undefined,
        measure: [{ model: 'again', draws: 1, samples: 10 }],
      }),
    );
    expect(shared.map(({ job }) => Object.keys(job.workflow).at(-1))).toEqual([
      'teacher',
      'student',
    ]);
    expect(shared[1]!.needs).toEqual([shared[0]!.name]);
  });

  test('run only what is measured', async () => {
    const show = { class_type: 'FlowstepLossPlot', inputs: { report: ['teacher', 1] } };
    const save = { class_type: 'SaveImage', inputs: { images: ['show', 0] } };
    const { rows } = await plan(tinySweep({ workflow: { ...tinyWorkflow(), show, save } }));
    expect(Object.keys(rows[0]!.job.workflow)).toEqual(['data', 'teacher', 'online', 'student']);
  });
});

describe('a workflow file', () => {
  test('is found beside the sweep file, whatever its form', async () => {
    const folder = await tempFolder();
    await writeFile(join(folder, 'base.json'), JSON.stringify(tinyWorkflow()));
    const { rows } = await plan(tinySweep({ workflow: 'base.json' }), join(folder, 'sweep.json'));
    expect(rows.map(({ job }) => job.key)).toEqual(await keysOf(tinySweep()));
    const shipped = new URL('../../workflows/', import.meta.url).pathname;
    const points = await plan(
      {
        name: 'x',
        workflow: 'fgm-2d.json',
        grid: { 'FGM Distill.t_star': [0.9] },
        measure: [{ model: 'FGM Distill' }],
      },
      join(shipped, 'x.json'),
    );
    expect(points.rows).toHaveLength(1);
  });

  test('that names a model which is not there is refused before anything runs', async () => {
    const model = { class_type: 'FlowstepLoadModel', inputs: { file: 'no/such.safetensors' } };
    const { data } = tinyWorkflow();
    await expect(
      plan(
        tinySweep({
          workflow: { data, model },
          grid: {},
          seeds: undefined,
          measure: [{ model: 'model' }],
        }),
      ),
    ).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' });
  });
});

describe('refused, all at once, with the names that there are:', () => {
  test.each([
    [
      'an unknown option',
      { grid: { 'student.tstar': [0.9], 'online.rate': [1] } },
      [
        /grid: node student \(FlowstepDistill\) has no input tstar \(did you mean t_star\?\)\. It has teacher, .*, lambda1, t_star/,
        /grid: node online .* has no input rate.* It has .*learning_rate/,
      ],
    ],
    [
      'an unknown node',
      { set: { 'studnt.steps': 3 } },
      [
        /set: there is no node studnt \(did you mean student\?\)\. The workflow has data .*, student/,
      ],
    ],
    [
      'an input that takes a link',
      { grid: { 'student.teacher': ['x'] } },
      [/grid: teacher takes a link of type FLOW_MODEL/],
    ],
    [
      'an input that is set twice',
      { set: { 'FlowstepDistill.t_star': 0.5 } },
      [/grid: student.t_star is set by set already/],
    ],
    [
      'an unknown seed',
      { seeds: { inputs: ['student.sed'], values: [1] } },
      [/seeds: .* no input sed/],
    ],
    ['a name without input', { set: { student: 3 } }, [/set: student is not NODE\.INPUT/]],
  ])('%s', async (_, change, messages) => {
    await expect(plan(tinySweep(change))).rejects.toMatchObject({
      code: 'UNKNOWN_KEY',
      details: {
        issues: messages.map((message) => ({ message: expect.stringMatching(message) })),
      },
    });
  });

  test('a FID of fewer samples than the space has dimensions', async () => {
    const measure = [{ model: 'student', extractor: 'fashion/features.onnx', samples: 64 }];
    await expect(plan(tinySweep({ measure }))).rejects.toMatchObject({
      code: 'VALUE_OUT_OF_RANGE',
      message: expect.stringContaining('64 pictures are too few for FID'),
    });
  });

  test.each([
    ['that is no model', [{ model: 'online' }], /measure 1: node online .* gives no FLOW_MODEL/],
    ['against no data', [{ model: 'student', data: 'online' }], /gives no FLOW_DATASET/],
    ['without a report', [{ report: 'data' }], /gives no report/],
    ['of no node', [{ model: 'stud' }], /measure 1: there is no node stud/],
    ['twice', [{ model: 'student' }, { model: 'student', draws: 1 }], /two are called student/],
  ])('a measure %s', async (_, measure, message) => {
    await expect(plan(tinySweep({ measure }))).rejects.toMatchObject({
      code: 'UNKNOWN_KEY',
      details: { issues: [{ message: expect.stringMatching(message) }] },
    });
  });

  test('values that an input does not take, with the row', async () => {
    const grid = { 'student.t_star': [0.9, 7], 'student.weight': ['x0', 'y'] };
    await expect(plan(tinySweep({ grid }))).rejects.toMatchObject({
      code: 'WORKFLOW_INVALID',
      details: {
        issues: [
          {
            node: 'student',
            field: 'weight',
            message: expect.stringMatching(
              /must be one of .* \(student.t_star=0.9 student.weight=y/,
            ),
          },
          {
            node: 'student',
            field: 't_star',
            message: expect.stringMatching(/at most 1, not 7 \(student.t_star=7 student.weight=x0/),
          },
        ],
      },
    });
  });
});

describe('a sweep file', () => {
  test('has the name of its file unless it says another', async () => {
    const { name, ...rest } = tinySweep();
    expect((await readSweepFile(await sweepFile(rest))).name).toBe('sweep');
    expect((await readSweepFile(await sweepFile({ name, ...rest }))).name).toBe('tiny');
  });

  test.each([
    ['no JSON', '{', /is not JSON/, undefined],
    ['a list', '[]', /is no(t| ) a sweep/, undefined],
    ['an unknown field', tinySweep({ girds: {} }), /is not a sweep/, /girds/],
    ['nothing to measure', tinySweep({ measure: [] }), /is not a sweep/, /measure/],
    ['an empty axis', tinySweep({ grid: { 'student.seed': [] } }), /is not a sweep/, /grid/],
    [
      'an unknown metric',
      tinySweep({ measure: [{ model: 'student', metrics: ['fid'] }] }),
      /is not a sweep/,
      /measure/,
    ],
    [
      'a seed twice',
      tinySweep({ seeds: { inputs: ['a.b'], values: [1, 1] } }),
      /is not a sweep/,
      /seeds\.values: must be different/,
    ],
    [
      'a name that is a path',
      tinySweep({ name: '../x' }),
      /is not a sweep/,
      /name: must be a plain name/,
    ],
  ])('with %s is refused', async (_, content, message, issue) => {
    await expect(readSweepFile(await sweepFile(content))).rejects.toMatchObject({
      code: 'FILE_FORMAT',
      message: expect.stringMatching(message),
      ...(issue && {
        details: { issues: [{ message: expect.stringMatching(issue) }] },
      }),
    });
  });

  test('with more rows than anybody wants is refused', async () => {
    const many = Array.from({ length: 400 }, (_, i) => i);
    const grid = { 'student.seed': many, 'teacher.seed': many };
    await expect(plan(tinySweep({ grid, seeds: undefined }))).rejects.toMatchObject({
      code: 'VALUE_OUT_OF_RANGE',
      message: 'the sweep has 160000 runs, more than 100000',
    });
  });
});

describe('every shipped sweep', async () => {
  const folder = new URL('../../sweeps/', import.meta.url).pathname;
  const names = (await readdir(folder, { recursive: true })).filter((n) => n.endsWith('.json'));
  const files = await Promise.all(
    names.map(async (name) => ({ name, text: await readFile(join(folder, name), 'utf8') })),
  );
  const sweeps = files.filter(({ text }) => text.includes('"measure"'));

  test.each(sweeps)('$name can run', async ({ name }) => {
    const file = join(folder, name);
    const { rows } = await plan(await readSweepFile(file), file);
    expect(rows.length).toBeGreaterThan(0);
  });
});
