/** @file Tensors of an .onnx file that lie in another file of its folder. */
import { open, realpath, stat } from 'node:fs/promises';
import { dirname, isAbsolute, relative, resolve, sep } from 'node:path';
import { FlowstepError } from '../../errors.ts';
import { dtypeOf, ELEMENT_BYTES, isExternal, type TensorMessage } from '../graph/onnx-tensors.ts';
import { sizeOf } from '../tensor.ts';
import { readError } from './read-error.ts';

/** Where the bytes of a tensor lie. */
export interface ExternalPlace {
  /** Absolute, links followed. */
  readonly file: string;
  readonly offset: number;
  readonly bytes: number;
}

/**
 * The places of all tensors that lie in other files, by name. Throws MODEL_INVALID, before anything is read, when a file lies
 * outside of the folder, is missing or too short.
 */
export async function externalPlaces(
  onnxFile: string,
  tensors: readonly TensorMessage[],
): Promise<Map<string, ExternalPlace>> {
  const places = new Map<string, ExternalPlace>();
  const sizes = new Map<string, number>();
  for (const tensor of tensors.filter(isExternal)) {
    const entries = entriesOf(tensor);
    const file = await insideFolder(onnxFile, locationOf(tensor), `tensor "${tensor.name}"`);
    const offset = Number(entries.get('offset') ?? 0);
    const bytes = sizeOf(tensor.dims) * ELEMENT_BYTES[typeOf(onnxFile, tensor)];
    const size = sizes.get(file) ?? (await stat(file)).size;
    sizes.set(file, size);
    const length = Number(entries.get('length') ?? bytes);
    if (length !== bytes) {
      throw invalid(onnxFile, `tensor "${tensor.name}" has ${bytes} bytes, its place ${length}`);
    }
    if (!Number.isSafeInteger(offset) || offset < 0 || offset + bytes > size) {
      throw invalid(
        onnxFile,
        `tensor "${tensor.name}" lies at ${offset} to ${offset + bytes} of ${file}, which has ${size} bytes`,
      );
    }
    places.set(tensor.name, { file, offset, bytes });
  }
  return places;
}

/** The bytes of a tensor. Throws FILE_NOT_FOUND or FILE_UNREADABLE. */
export async function readExternal({ file, offset, bytes }: ExternalPlace): Promise<Uint8Array> {
  try {
    await using handle = await open(file, 'r');
    const buffer = new Uint8Array(bytes);
    let at = 0;
    while (at < bytes) {
      const { bytesRead } = await handle.read(buffer, at, bytes - at, offset + at);
      if (bytesRead === 0) break;
      at += bytesRead;
    }
    return buffer;
  } catch (error) {
    throw readError(file, error);
  }
}

/** The file that a tensor lies in, as the .onnx file names it. */
export const locationOf = (tensor: TensorMessage): string =>
  entriesOf(tensor).get('location') ?? '';

const entriesOf = ({ externalData }: TensorMessage) =>
  new Map(externalData.map(({ key, value }) => [key, value]));

const typeOf = (file: string, tensor: TensorMessage) =>
  dtypeOf(tensor.dataType, `tensor "${tensor.name}"`, file);

/**
 * The absolute path of a file beside the model, links followed; `what` lies in it. Throws MODEL_INVALID when it is not there or
 * outside: a model from somebody else must not read the rest of the disk, be it by a link.
 */
export async function insideFolder(
  onnxFile: string,
  location: string,
  what: string,
): Promise<string> {
  const folder = dirname(resolve(onnxFile));
  const wanted = resolve(folder, location);
  const outside = () =>
    invalid(
      onnxFile,
      `${what} lies in ${JSON.stringify(location)}, which is outside of the folder of the model`,
      'Save the model with its external data beside it.',
    );
  if (location === '' || location.includes('\0') || isAbsolute(location)) throw outside();
  if (!isBelow(folder, wanted)) throw outside();
  let file: string;
  try {
    file = await realpath(wanted);
  } catch {
    throw invalid(
      onnxFile,
      `${what} lies in ${wanted}, which is not there`,
      'Copy the external data of the model too, beside it.',
    );
  }
  if (!isBelow(await realpath(folder), file)) throw outside();
  return file;
}

function isBelow(folder: string, file: string): boolean {
  const way = relative(folder, file);
  return way !== '' && way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way);
}

function invalid(file: string, problem: string, hint = 'Export the model again.'): FlowstepError {
  return new FlowstepError('MODEL_INVALID', `${file}: ${problem}`, { file, hint });
}
