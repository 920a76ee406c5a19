/** @file Save Flow Model's forms for other programs: an .onnx file, or a model repository around it. */
import { relative, sep } from 'node:path';
import { type OnnxExportOptions, writeOnnx } from '../trainer/run/export-onnx.ts';
import { writeTriton } from '../trainer/run/export-triton.ts';
import type { FlowModel } from '../trainer/run/model.ts';
import type { NodeContext } from './node-context.ts';
import { freeNames, writeNew } from './output-files.ts';

/** Writes the model; paths are relative to the output folder, that of a repository is its folder. */
export async function saveOnnx(
  model: FlowModel,
  format: 'onnx' | 'triton',
  prefix: string,
  options: OnnxExportOptions,
  { roots: { output } }: NodeContext,
): Promise<{ path: string; files: string[] }> {
  const withoutEnd = (path: string) =>
    format === 'triton' ? path.slice(0, -'.triton'.length) : path;
  const write = format === 'onnx' ? writeOnnx : writeTriton;
  return writeNew(await freeNames(output, prefix, format), async (target) => {
    const [file, path] = [withoutEnd(target.file), withoutEnd(target.path)];
    const { files } = await write(file, model, { ...options, replace: false });
    const below = (name: string) => relative(file, name).split(sep).filter(Boolean);
    // A data file beside the model is no part of its path.
    const named = files.map((name) =>
      name.startsWith(`${file}.`)
        ? path + name.slice(file.length)
        : [path, ...below(name)].join('/'),
    );
    return { path, files: named };
  });
}
