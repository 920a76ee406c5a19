import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { sha256, sha256OfFile } from '../../../src/trainer/files/hash.ts';
import { tempFolder } from '../../support/temp-folder.ts';

// FIPS 180-2, appendix B.1
const ABC = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad';

test('sha256 of bytes and text, whole or in parts', () => {
  expect(sha256('abc')).toBe(ABC);
  expect(sha256(Uint8Array.of(0x61), 'bc')).toBe(ABC);
});

test('sha256 of a file', async () => {
  const path = join(await tempFolder(), 'abc');
  await writeFile(path, 'abc');
  expect(await sha256OfFile(path)).toBe(ABC);
  await expect(sha256OfFile(`${path}d`)).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' });
});
