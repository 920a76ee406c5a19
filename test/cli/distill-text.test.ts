/** `flowstep distill` with prompts, wherever their file lies. */
import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openPrompts } from '../../src/trainer/data/prompts.ts';
import { loadModel } from '../../src/trainer/run/model-file.ts';
import { makeContext, rootsIn } from '../nodes/support.ts';
import { promptSet, putBase } from '../nodes/text-support.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { callCli } from './support.ts';

async function place() {
  const base = await tempFolder();
  const context = makeContext(await rootsIn(base));
  const { models, output, data } = context.roots;
  await putBase(context);
  const { path } = (await promptSet(context)) as { path: string };
  const distil = (run: string, ...args: string[]) =>
    callCli(
      [
        ...['distill', '--teacher', join(models, 'sd3/tiny.safetensors'), '--run-name', run],
        ...['--steps', '1', '--batch', '2', '--warmup', '0', '--sample-every', '0', ...args],
      ],
      { FLOWSTEP_MODELS: models, FLOWSTEP_OUTPUT: output, FLOWSTEP_DATA: data },
    );
  return { base, output, kept: join(output, path), distil };
}

test('takes embeddings from the output folder, from the data folder and from elsewhere', async () => {
  const { base, output, kept, distil } = await place();
  const elsewhere = join(base, 'elsewhere/prompts.safetensors');
  await cp(kept, elsewhere);
  const { hash } = await openPrompts('prompts', kept);
  for (const [run, file] of Object.entries({ kept, elsewhere })) {
    const { code, stderr } = await distil(run, '--prompts', file);
    expect(code, stderr).toBe(0);
    const student = await loadModel(join(output, `runs/${run}/student.safetensors`));
    expect(student.info.training['prompts']).toMatchObject({ hash });
  }
});

test('says which file is missing', async () => {
  const { distil } = await place();
  const { code, stderr } = await distil('none', '--prompts', 'no.safetensors');
  expect(code).toBe(1);
  expect(stderr).toContain('no.safetensors');
});
