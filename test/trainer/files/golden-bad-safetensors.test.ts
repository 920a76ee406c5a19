/** Malformed files, and odd but valid ones, with what a reader must do with each. */
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { FlowstepError } from '../../../src/errors.ts';
import { readSafetensors } from '../../../src/trainer/files/safetensors.ts';
import { goldenCases } from '../../support/golden.ts';

const ListSchema = z.object({
  files: z.record(
    z.string(),
    z.object({ expect: z.enum(['refuse', 'accept', 'either']), what: z.string() }),
  ),
});

const FILES = goldenCases('bad-safetensors').flatMap((golden) =>
  Object.entries(ListSchema.parse(golden.sidecar).files).map(([name, entry]) => ({
    name,
    path: golden.file(name),
    ...entry,
  })),
);

describe('bad-safetensors', () => {
  test.each(FILES.filter((f) => f.expect === 'refuse'))('refuses $name: $what', async (file) => {
    const error = await readSafetensors(file.path).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(FlowstepError);
    expect(error).toMatchObject({ code: 'FILE_FORMAT', details: { file: file.path } });
    expect((error as FlowstepError).message).toContain(file.name);
  });

  test.each(FILES.filter((f) => f.expect === 'accept'))('reads $name: $what', async (file) => {
    await expect(readSafetensors(file.path)).resolves.toBeDefined();
  });

  test.each(FILES.filter((f) => f.expect === 'either'))('decides on $name: $what', async (file) => {
    const result = await readSafetensors(file.path).catch((e: unknown) => e);
    if (result instanceof Error) expect(result).toMatchObject({ code: 'FILE_FORMAT' });
  });
});
