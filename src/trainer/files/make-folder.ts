/** @file Folders to write into. */
import { mkdir } from 'node:fs/promises';
import { FlowstepError } from '../../errors.ts';

/** Makes the folder and those above it; one that is there is fine. Throws FILE_UNWRITABLE. */
export async function makeFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true }).catch((cause) => {
    throw folderError(folder, cause);
  });
}

/** Makes the folder, which nothing may be yet. Throws FILE_UNWRITABLE. */
export async function makeNewFolder(folder: string): Promise<void> {
  await mkdir(folder).catch((cause) => {
    throw folderError(folder, cause);
  });
}

function folderError(folder: string, cause: unknown): FlowstepError {
  return new FlowstepError('FILE_UNWRITABLE', `the folder ${folder} cannot be made`, {
    file: folder,
    hint: 'Check that you may write there and that no file has its name, or choose another folder.',
    cause,
  });
}
