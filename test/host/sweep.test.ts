/** Sweeps in one process: rows are done once, whatever happens on the way, and become tables. */
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { statistic } from '../../src/host/sweep/summary.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { measured, sweep, tinySweep, tinyWorkflow } from './sweep-support.ts';

const folderOf = (output: string) => join(output, 'sweeps', 'tiny');

async function rowFiles(output: string): Promise<string[]> {
  const folder = join(folderOf(output), 'rows');
  return (await readdir(folder)).map((name) => join(folder, name));
}

test('rows are done once, the teacher is trained once, and deleting a row does it again', async () => {
  const output = await tempFolder();
  const first = await sweep(tinySweep(), { output });
  expect(first.events.filter(({ kind }) => kind === 'row')).toHaveLength(4);
  const trained = first.events.flatMap((e) =>
    e.kind === 'progress' ? [[e.node, e.step.step]] : [],
  );
  expect(trained.filter(([node]) => node === 'teacher')).toHaveLength(20);
  expect(await readdir(join(output, 'runs'))).toHaveLength(5);
  const figures = await measured(output);

  const second = await sweep(tinySweep(), { output });
  expect(second.events).toEqual([{ kind: 'planned', rows: 4, finished: 4 }]);

  const [one] = await rowFiles(output);
  await rm(one!);
  const third = await sweep(tinySweep(), { output });
  expect(third.events.map(({ kind }) => kind)).toEqual(['planned', 'row']);
  expect(await measured(output)).toEqual(figures);
});

test('a damaged row is done again', async () => {
  const output = await tempFolder();
  await sweep(tinySweep(), { output });
  const [one] = await rowFiles(output);
  await writeFile(one!, '{"format": 1, "key"');
  const { events } = await sweep(tinySweep(), { output });
  expect(events[0]).toEqual({ kind: 'planned', rows: 4, finished: 3 });
});

test('stopped in mid-run: the tables of what is there, and the rest from the checkpoint', async () => {
  const [whole, output] = [await tempFolder(), await tempFolder()];
  await sweep(tinySweep(), { output: whole });
  const stop = new AbortController();
  let rows = 0;
  const run = sweep(tinySweep(), {
    output,
    signal: stop.signal,
    onEvent: (event) => {
      if (event.kind === 'row') rows++;
      if (event.kind === 'progress' && rows === 1) stop.abort();
    },
  });
  await expect(run).rejects.toMatchObject({
    code: 'INTERRUPTED',
    hint: expect.stringContaining('1 of 4 rows are finished'),
  });
  expect(await readFile(join(folderOf(output), 'rows.csv'), 'utf8')).toMatch(/missing/);
  const { events } = await sweep(tinySweep(), { output });
  const steps = events.flatMap((event) => (event.kind === 'progress' ? [event] : []));
  expect(steps[0]).toMatchObject({ node: 'student', step: { step: 2 } });
  expect(await measured(output)).toEqual(await measured(whole));
});

test('tables: means over seeds, each run, and a picture', async () => {
  const output = await tempFolder();
  const { files, summary, text } = await sweep(
    tinySweep({
      grid: { 'student.weight': ['velocity', 'x0'] },
      measure: [
        { model: 'student', draws: 2, samples: 100, metrics: ['energy-distance', 'modes-covered'] },
        { model: 'teacher', draws: 2, samples: 100, steps: 3, as: 'three "steps", Euler' },
      ],
    }),
    { output },
  );
  expect(files.map((file) => file.slice(folderOf(output).length + 1))).toEqual([
    'table.csv',
    'rows.csv',
    'table.json',
    'table.md',
    'student_energy-distance.png',
    'student_modes-covered.png',
    'three_steps_Euler_energy-distance.png',
    'three_steps_Euler_modes-covered.png',
  ]);
  const [csv, rows] = await Promise.all(files.slice(0, 2).map((file) => readFile(file, 'utf8')));
  const [head, ...records] = csv!.trimEnd().split('\n');
  expect(head).toMatch(
    /^student\.weight,runs,finished,diverged,student\/energy-distance mean,.*"three ""steps"", Euler\/energy-distance mean"/,
  );
  const { mean, interval, values } = summary[0]!.statistics['student/energy-distance']!;
  expect(values).toHaveLength(2);
  expect(mean).toBe((values[0]! + values[1]!) / 2);
  expect(records[0]).toContain(`velocity,2,2,0,${mean},${interval![0]},${interval![1]}`);
  expect(rows!.split('\n')[1]).toMatch(new RegExp(`^velocity,0,finished,[^,]+,${values[0]},`));
  expect(text[0]).toBe(
    '| student.weight | runs | student/energy-distance | student/modes-covered | three "steps", Euler/energy-distance | three "steps", Euler/modes-covered |',
  );
  // One teacher for all rows: its interval has no width, and is left out.
  expect(text[2]).toMatch(
    /^\| velocity \| 2 \| [\d.]+ \[-?[\d.]+, [\d.]+\] \| .* \| [\d.]+ \| [\d.]+ \|$/,
  );
});

test('a run that diverges is a result, and is not tried again', async () => {
  const output = await tempFolder();
  const set = { 'student.learning_rate': 1, 'student.steps': 2000, 'student.lambda1': -10 };
  const { events, text } = await sweep(tinySweep({ set, grid: {} }), { output });
  const rows = events.flatMap((event) => (event.kind === 'row' ? [event.row] : []));
  expect(rows.map(({ outcome }) => outcome)).toEqual(['diverged', 'diverged']);
  expect(rows[0]!.problem!.code).toMatch(/^(DIVERGED|NON_FINITE_LOSS)$/);
  expect(text[2]).toContain('0 of 2, 2 diverged');
  const again = await sweep(tinySweep({ set, grid: {} }), { output });
  expect(again.events).toEqual([{ kind: 'planned', rows: 2, finished: 2 }]);
});

test('rows that fail do not stop the others', async () => {
  const output = await tempFolder();
  // t_min above t_max is only seen when the node runs.
  const grid = { 'student.t_min': [0.02, 0.99] };
  await expect(sweep(tinySweep({ grid }), { output })).rejects.toMatchObject({
    code: 'VALUE_OUT_OF_RANGE',
    message: '2 of 4 rows failed',
    details: {
      issues: [0, 1].map((seed) => ({
        message: expect.stringMatching(
          new RegExp(`^student.t_min=0.99 seed=${seed}: node student .* 0.99 to 0.98`),
        ),
      })),
    },
  });
  expect(await rowFiles(output)).toHaveLength(2);
});

test('points are not measured against pictures', async () => {
  const output = await tempFolder();
  const shown = { class_type: 'FlowstepLossPlot', inputs: { report: ['teacher', 1] } };
  const pictures = {
    class_type: 'FlowstepDataset',
    inputs: { source: 'images', size: 8, image: ['shown', 0] },
  };
  const wanted = tinySweep({
    workflow: { ...tinyWorkflow(), shown, pictures },
    measure: [{ model: 'teacher', data: 'pictures' }],
    grid: {},
    seeds: undefined,
  });
  await expect(sweep(wanted, { output })).rejects.toMatchObject({
    code: 'DATASET_INVALID',
    message: '1 of 1 rows failed',
    details: { issues: [{ message: expect.stringMatching(/teacher is measured against images/) }] },
  });
});

test('models of several sweeps of one teacher train it once', async () => {
  const output = await tempFolder();
  await sweep(tinySweep(), { output });
  const { events } = await sweep(tinySweep({ name: 'other', set: { 'student.batch': 17 } }), {
    output,
  });
  const nodes = new Set(events.flatMap((e) => (e.kind === 'progress' ? [e.node] : [])));
  expect([...nodes]).toEqual(['student']);
});

test('a teacher file that has changed is trained again', async () => {
  const output = await tempFolder();
  await sweep(tinySweep(), { output });
  const runs = await readdir(join(output, 'runs'));
  for (const run of runs) await rm(join(output, 'runs', run), { recursive: true });
  const { events } = await sweep(tinySweep({ set: { 'student.batch': 17 } }), { output });
  const nodes = new Set(events.flatMap((e) => (e.kind === 'progress' ? [e.node] : [])));
  expect([...nodes]).toEqual(['teacher', 'student']);
});

test.each([
  [[2, 4, 9], 5, 4, [-3.957, 13.957]],
  [[1, 3], 2, 2, [-10.706, 14.706]],
  [[7], 7, 7, undefined],
])('the statistic of %j', (values, mean, median, interval) => {
  const found = statistic(values);
  expect(found).toMatchObject({ mean, median });
  // Printed tables have 4.303 for two degrees of freedom and 12.706 for one.
  expect(found.interval?.map((x) => Number(x.toFixed(3)))).toEqual(interval);
});

test('the interval of many values goes by the quantile of their degrees of freedom', () => {
  const values = Array.from({ length: 61 }, (_, i) => i - 30);
  const { interval } = statistic(values);
  // Standard deviation sqrt(61 * 62 / 12); printed tables have 2.000 for 60 degrees of freedom.
  expect(interval![1]).toBeCloseTo(2.0003 * Math.sqrt(62 / 12), 3);
});
