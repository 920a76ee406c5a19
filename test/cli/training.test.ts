/** `flowstep train`, `distill` and `resume`: the nodes run without a workflow file. */
import { existsSync } from 'node:fs';
import { cp, mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { describe, expect, test } from 'vitest';
import { weightsHash } from '../../src/trainer/run/model.ts';
import { loadModel } from '../../src/trainer/run/model-file.ts';
import { plainPng, writeFiles } from '../support/pictures.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { bitsOf } from '../support/training.ts';
import { callCli } from './support.ts';

const QUICK = ['--batch', '4', '--warmup', '0', '--sample-every', '0'];

interface Place {
  readonly output: string;
  readonly environment: Readonly<Record<string, string>>;
  call(...args: string[]): ReturnType<typeof callCli>;
}

/** A folder of its own for models, output and data. */
async function makePlace(): Promise<Place> {
  const folder = await tempFolder();
  const environment = {
    FLOWSTEP_MODELS: join(folder, 'models'),
    FLOWSTEP_OUTPUT: join(folder, 'output'),
    FLOWSTEP_DATA: join(folder, 'data'),
  };
  await mkdir(environment.FLOWSTEP_MODELS);
  return {
    output: environment.FLOWSTEP_OUTPUT,
    environment,
    call: (...args) => callCli(args, environment),
  };
}

/** With a teacher of three steps in runs/pts. */
async function placeWithTeacher(): Promise<Place & { teacher: string }> {
  const place = await makePlace();
  const { code } = await place.call('train', '--steps', '3', '--run-name', 'pts', ...QUICK);
  expect(code).toBe(0);
  return { ...place, teacher: join(place.output, 'runs/pts/teacher.safetensors') };
}

describe('flowstep train', () => {
  test('trains with the options that are given and prints the model file alone on stdout', async () => {
    const { output, call } = await makePlace();
    const { code, stdout, stderr } = await call(
      ...['train', '--dataset', 'moons', '--steps', '3', '--learning-rate', '2e-3'],
      ...['--run-name', 'my-run', ...QUICK],
    );
    const file = join(output, 'runs/my-run/teacher.safetensors');
    expect({ code, stdout }).toEqual({ code: 0, stdout: `${file}\n` });
    expect(stderr).toContain('Train Flow Teacher');
    const { info } = await loadModel(file);
    expect(info.dataset.name).toBe('moons');
    expect(info.training).toMatchObject({ steps: 3, batch: 4, learningRate: 0.002 });
  });

  test('--save-workflow writes what ran, which `run` runs to the same weights', async () => {
    const { output, call } = await makePlace();
    const file = join(output, '../train.json');
    const args = ['train', '--steps', '3', '--run-name', 'a', '--save-workflow', file, ...QUICK];
    expect(await call(...args)).toMatchObject({ code: 0 });
    const workflow = JSON.parse(await readFile(file, 'utf8'));
    expect(workflow['2']).toMatchObject({
      class_type: 'FlowstepTrainTeacher',
      inputs: { dataset: ['1', 0], steps: 3, schedule: 'constant' },
    });
    expect(await call('run', file, '--set', '2.run_name=b')).toMatchObject({ code: 0 });
    const [a, b] = await Promise.all(
      ['a', 'b'].map((run) => loadModel(join(output, `runs/${run}/teacher.safetensors`))),
    );
    expect(bitsOf(b!.parameters)).toEqual(bitsOf(a!.parameters));
  });

  test('--start goes on from a teacher, wherever it lies, and resumes to the same bits', async () => {
    const { output, environment, call, teacher } = await placeWithTeacher();
    const elsewhere = join(output, '../elsewhere/mine.safetensors');
    await cp(teacher, elsewhere);
    const train = (name: string, start: string, steps: string) =>
      call(
        ...['train', '--dataset', 'moons', '--start', start, '--steps', steps],
        ...['--run-name', name, '--save-workflow', join(output, `${name}.json`), ...QUICK],
      );
    expect(await train('a', teacher, '6')).toMatchObject({ code: 0 });
    const { stderr } = await train('b', elsewhere, '3');
    expect(stderr).toContain(`models folder: ${join(output, '../elsewhere')} (set FLOWSTEP_MODELS`);
    expect(JSON.parse(await readFile(join(output, 'a.json'), 'utf8'))).toMatchObject({
      2: { inputs: { start: ['3', 0] } },
      3: { class_type: 'FlowstepLoadModel', inputs: { file: 'runs/pts/teacher.safetensors' } },
    });
    const found = { ...environment, FLOWSTEP_MODELS: join(output, '../elsewhere') };
    expect(await callCli(['resume', 'b', '--steps', '6'], found)).toMatchObject({ code: 0 });
    const [a, b] = await Promise.all(
      ['a', 'b'].map((run) => loadModel(join(output, `runs/${run}/teacher.safetensors`))),
    );
    expect(a!.info.training['start']).toBe(weightsHash(await loadModel(teacher)));
    expect(bitsOf(b!.parameters)).toEqual(bitsOf(a!.parameters));
  });

  test('--start brings its own network: another cannot be chosen', async () => {
    const { call, teacher } = await placeWithTeacher();
    const { code, stderr } = await call('train', '--start', teacher, '--network', 'mlp-2d');
    expect(code).toBe(2);
    expect(stderr).toContain('--network cannot be chosen with --start');
  });

  test('--json tells what each node did, and failures too', async () => {
    const { output, call } = await makePlace();
    const args = ['train', '--json', '--steps', '2', '--run-name', 'a', ...QUICK];
    const { code, stdout } = await call(...args);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      ok: true,
      files: [join(output, 'runs/a/teacher.safetensors')],
      nodes: [
        { type: 'FlowstepDataset' },
        {
          type: 'FlowstepTrainTeacher',
          outputs: { model: { path: 'runs/a/steps/000000002/teacher.safetensors' } },
        },
      ],
    });
    const failed = await call('train', '--json', '--dataset', 'folder');
    expect(failed.code).toBe(1);
    expect(JSON.parse(failed.stdout)).toMatchObject({
      ok: false,
      error: { code: 'DATASET_INVALID', hint: expect.any(String) },
    });
  });

  test.each([
    [['--steps', '0'], /'--steps <N>' argument '0' is invalid. It must be at least 1, not 0/],
    [['--steps', '2.5'], /must be a whole number/],
    [['--learning-rate', 'fast'], /It must be a number/],
    [['--run-name', '../up'], /must be a plain name/],
    [['--flip', 'yes'], /must be true or false/],
    [['--network', 'unet'], /Allowed choices are mlp-2d/],
    [['--step', '3'], /unknown option '--step'\n\(Did you mean --steps\?\)/],
  ])('%j exits with 2', async (args, message) => {
    const { call } = await makePlace();
    const { code, stdout, stderr } = await call('train', ...args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(message);
  });
});

describe('a workflow that trains one teacher for two numbers of steps', () => {
  const train = (steps: number) => ({
    class_type: 'FlowstepTrainTeacher',
    inputs: { dataset: ['1', 0], network: 'mlp-2d', steps, batch: 8, sample_every: 0 },
  });
  const twice = (first: number, second: number) => ({
    1: { class_type: 'FlowstepDataset', inputs: { source: '8g' } },
    2: train(first),
    3: train(second),
    ...Object.fromEntries(
      ['2', '3'].flatMap((model, i) => [
        [4 + i, { class_type: 'FlowstepSaveModel', inputs: { model: [model, 0] } }],
        [6 + i, { class_type: 'FlowstepLossPlot', inputs: { report: [model, 1] } }],
        [8 + i, { class_type: 'SaveImage', inputs: { images: [String(6 + i), 0] } }],
      ]),
    ),
  });

  test('fewer first: each gives its own, every time', async () => {
    const { output, call } = await makePlace();
    const file = join(output, '../twice.json');
    await writeFile(file, JSON.stringify(twice(3, 5)));
    for (const [a, b] of [
      ['00001', '00002'],
      ['00003', '00004'],
    ]) {
      expect(await call('run', file)).toMatchObject({ code: 0 });
      const saved = [a, b].map((number) => join(output, `models/flowstep_${number}_.safetensors`));
      const [short, long] = await Promise.all(saved.map((path) => loadModel(path)));
      expect([short!.info.training['steps'], long!.info.training['steps']]).toEqual([3, 5]);
    }
  });

  test('more first: refused, with what to do', async () => {
    const { output, call } = await makePlace();
    const file = join(output, '../twice.json');
    await writeFile(file, JSON.stringify(twice(5, 3)));
    const { code, stderr } = await call('run', file);
    expect(code).toBe(1);
    expect(stderr).toMatch(/RUN_MISMATCH: node 3 .*was trained for 5 steps, more than the 3 asked/);
    expect(stderr).toContain('run_name');
    expect(await call('run', file, '--set', '3.run_name=short')).toMatchObject({ code: 0 });
  });
});

describe('flowstep distill', () => {
  test('distils a teacher of the output folder; --online- options reach Online Flow', async () => {
    const { output, call, teacher } = await placeWithTeacher();
    const { code, stdout } = await call(
      ...['distill', '--teacher', relative('.', teacher), '--steps', '2', '--run-name', 'st'],
      ...['--online-updates', '2', '--online-learning-rate', '3e-4', '--json', ...QUICK],
    );
    expect(code).toBe(0);
    const { files, nodes } = JSON.parse(stdout);
    expect(files).toEqual(
      ['student', 'online'].map((name) => join(output, `runs/st/${name}.safetensors`)),
    );
    expect(nodes[0].outputs.model).toMatchObject({
      root: 'output',
      path: 'runs/pts/teacher.safetensors',
    });
    expect(nodes[1].outputs.online.options).toMatchObject({ updates: 2, learningRate: 3e-4 });
  });

  test('--student goes on with a student, wherever it lies', async () => {
    const { output, call, teacher } = await placeWithTeacher();
    const distil = (...args: string[]) =>
      call('distill', '--teacher', teacher, '--steps', '1', ...QUICK, ...args);
    expect(await distil('--run-name', 'one')).toMatchObject({ code: 0 });
    const first = join(output, 'runs/one/student.safetensors');
    const elsewhere = join(output, '../elsewhere/first.safetensors');
    await cp(first, elsewhere);
    const hash = weightsHash(await loadModel(first));
    for (const [name, file] of Object.entries({ two: first, three: elsewhere })) {
      expect(await distil('--run-name', name, '--student', file)).toMatchObject({ code: 0 });
      const { info } = await loadModel(join(output, `runs/${name}/student.safetensors`));
      expect(info.training['studentStart']).toBe(hash);
    }
  });

  test('--online goes on with an online flow', async () => {
    const { output, call, teacher } = await placeWithTeacher();
    const distil = (...args: string[]) =>
      call('distill', '--teacher', teacher, '--steps', '1', ...QUICK, ...args);
    expect(await distil('--run-name', 'one')).toMatchObject({ code: 0 });
    const [student, online] = ['student', 'online'].map((name) =>
      join(output, `runs/one/${name}.safetensors`),
    );
    const again = ['--run-name', 'two', '--student', student!, '--online', online!];
    expect(await distil(...again)).toMatchObject({ code: 0 });
    const { info } = await loadModel(join(output, 'runs/two/student.safetensors'));
    expect(info.training).toMatchObject({
      studentStart: weightsHash(await loadModel(student!)),
      online: { start: weightsHash(await loadModel(online!)) },
    });
  });

  test('takes real data with --dataset', async () => {
    const { output, call, teacher } = await placeWithTeacher();
    const file = join(output, 'distill.json');
    const { code } = await call(
      ...['distill', '--teacher', teacher, '--steps', '1', '--run-name', 'st', ...QUICK],
      ...['--dataset', '8g', '--real-alpha', '0.9', '--real-beta', '0.95', '--save-workflow', file],
    );
    expect(code).toBe(0);
    expect(JSON.parse(await readFile(file, 'utf8'))).toMatchObject({
      1: { class_type: 'FlowstepLoadModel', inputs: { file: 'runs/pts/teacher.safetensors' } },
      3: { inputs: { teacher: ['1', 0], online: ['2', 0], dataset: ['4', 0], real_alpha: 0.9 } },
      4: { class_type: 'FlowstepDataset', inputs: { source: '8g' } },
    });
  });

  test('a teacher outside of the folders brings its folder along, and says so', async () => {
    const { output, call, teacher } = await placeWithTeacher();
    const elsewhere = await tempFolder();
    await cp(teacher, join(elsewhere, 'mine.safetensors'));
    const args = ['distill', '--teacher', join(elsewhere, 'mine.safetensors'), '--steps', '1'];
    const { code, stderr } = await call(...args, '--run-name', 'st', ...QUICK);
    expect(code).toBe(0);
    expect(stderr).toContain(`models folder: ${elsewhere} (set FLOWSTEP_MODELS to it`);
    expect(existsSync(join(output, 'runs/st/student.safetensors'))).toBe(true);
  });

  test.each([
    [[], 2, /required option '--teacher <FILE>' not specified/],
    [['--teacher', 'none.safetensors'], 1, /there is no model file none.safetensors/],
    [['--teacher', 'x', '--size', '32'], 2, /--size needs --dataset/],
    [['--teacher', 'x', '--updates', '3'], 2, /unknown option '--updates'/],
  ] as const)('%j exits with %i', async (args, exitCode, message) => {
    const { call } = await makePlace();
    const { code, stdout, stderr } = await call('distill', ...args);
    expect({ code, stdout }).toEqual({ code: exitCode, stdout: '' });
    expect(stderr).toMatch(message);
  });
});

describe('flowstep resume', () => {
  test('trains on from the run alone, to the bits of a run that never stopped', async () => {
    const { output, call } = await placeWithTeacher();
    const { code, stdout, stderr } = await call('resume', 'pts', '--steps', '6');
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: `${join(output, 'runs/pts/teacher.safetensors')}\n`,
    });
    expect(stderr).toContain('goes on after step 3');
    await call('train', '--steps', '6', '--run-name', 'whole', ...QUICK);
    const [resumed, whole] = await Promise.all(
      ['pts', 'whole'].map((run) => loadModel(join(output, `runs/${run}/teacher.safetensors`))),
    );
    expect(bitsOf(resumed!.parameters)).toEqual(bitsOf(whole!.parameters));
  });

  test('takes the path of a run folder, whatever the output folder is', async () => {
    const { output, call, teacher } = await placeWithTeacher();
    await call('distill', '--teacher', teacher, '--steps', '1', '--run-name', 'st', ...QUICK);
    const { code, stdout } = await callCli(
      ['resume', relative('.', join(output, 'runs/st')), '--steps', '2', '--json'],
      { FLOWSTEP_OUTPUT: await tempFolder() },
    );
    expect(code).toBe(0);
    expect(JSON.parse(stdout).files[0]).toBe(join(output, 'runs/st/student.safetensors'));
  });

  test('finds data where the run had them, or where FLOWSTEP_DATA says that they are now', async () => {
    const { output, call } = await makePlace();
    const elsewhere = await tempFolder();
    await writeFiles(elsewhere, { 'cats/a.png': await plainPng('red') });
    const data = ['--dataset', 'folder', '--folder', join(elsewhere, 'cats'), '--size', '4'];
    const args = ['--network', 'dit-s', '--steps', '1', '--run-name', 'pets', ...QUICK];
    expect(await call('train', ...data, ...args)).toMatchObject({ code: 0 });
    const resume = (steps: string, environment: Readonly<Record<string, string>> = {}) =>
      callCli(['resume', 'pets', '--steps', steps], { FLOWSTEP_OUTPUT: output, ...environment });
    expect(await resume('2')).toMatchObject({ code: 0 });
    expect(await resume('3', { FLOWSTEP_DATA: await tempFolder() })).toMatchObject({ code: 0 });

    const moved = await tempFolder();
    await rename(join(elsewhere, 'cats'), join(moved, 'cats'));
    const { code, stderr } = await resume('4');
    expect(code).toBe(1);
    expect(stderr).toMatch(/FILE_NOT_FOUND.*there is no file/);
    expect(stderr).toMatch(new RegExp(`hint: .*${elsewhere}.*FLOWSTEP_DATA names another`));
    expect(await resume('4', { FLOWSTEP_DATA: moved })).toMatchObject({ code: 0 });
  }, 60_000);

  test('finds the teacher where the run had it, also beside another of its name', async () => {
    const { output, call, teacher } = await placeWithTeacher();
    const [elsewhere, models] = [await tempFolder(), await tempFolder()];
    await cp(teacher, join(elsewhere, 't.safetensors'));
    await writeFile(join(models, 't.safetensors'), 'another');
    const args = ['--teacher', join(elsewhere, 't.safetensors'), '--steps', '1', ...QUICK];
    expect(await call('distill', ...args, '--run-name', 'st')).toMatchObject({ code: 0 });
    const here = { FLOWSTEP_OUTPUT: output };
    expect(await callCli(['resume', 'st', '--steps', '2'], here)).toMatchObject({ code: 0 });
    const there = { ...here, FLOWSTEP_MODELS: models };
    expect(await callCli(['resume', 'st', '--steps', '3'], there)).toMatchObject({ code: 0 });
  });

  test('a name is that of the run, whatever else is called so here', async () => {
    const { output, call } = await makePlace();
    // There is a folder `docs` where the tests run.
    expect(existsSync('docs')).toBe(true);
    const missing = await call('resume', 'docs');
    expect(missing).toMatchObject({ code: 2, stdout: '' });
    expect(missing.stderr).toContain('docs is not the folder of a run');
    await call('train', '--steps', '1', '--run-name', 'docs', ...QUICK);
    const { code, stdout } = await call('resume', 'docs', '--steps', '2');
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: `${join(output, 'runs/docs/teacher.safetensors')}\n`,
    });
  });

  test('says what cannot be resumed', async () => {
    const { output, call } = await placeWithTeacher();
    expect(await call('resume', 'pst')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('error FILE_NOT_FOUND: there is no run in'),
    });
    expect(await call('resume', output)).toMatchObject({ code: 2, stdout: '' });
    const record = join(output, 'runs/pts/run.json');
    const { request: _, ...rest } = JSON.parse(await readFile(record, 'utf8'));
    await writeFile(record, JSON.stringify(rest));
    const { code, stderr } = await call('resume', 'pts');
    expect(code).toBe(1);
    expect(stderr).toContain('does not say what made it');
  });
});
