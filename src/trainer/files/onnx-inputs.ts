/** @file Whether the inputs of an .onnx file are what its declaration says, and what follows for samples and conditions. */
import { FlowstepError } from '../../errors.ts';
import { type DeclaredInput, formatOpenShape } from '../graph/onnx-decode.ts';
import { dtypeOf, type GraphMessage } from '../graph/onnx-tensors.ts';
import type { InputNames } from '../nn/onnx-config.ts';
import type { OnnxDeclaration } from './onnx-declaration.ts';

/** The inputs that are not weights, after checking that they are those that are declared. */
export function checkInputs(
  file: string,
  whole: GraphMessage,
  part: GraphMessage,
  { inputs, classes }: OnnxDeclaration,
): Map<string, DeclaredInput> {
  const given = new Set(whole.initializer.map(({ name }) => name));
  const declared = Object.entries(inputs).filter((e): e is [string, string] => e[1] !== undefined);
  const names = new Set(declared.map(([, name]) => name));
  const read = new Set(part.input.map(({ name }) => name));
  const found = new Map<string, DeclaredInput>();
  for (const { name, type } of whole.input) {
    const tensor = type?.tensorType;
    if (given.has(name) || !tensor || !(read.has(name) || names.has(name))) continue;
    const dims = tensor.shape?.dim.map(({ value, dimValue = 0 }) =>
      value === 'dimValue' && dimValue > 0 ? dimValue : undefined,
    );
    found.set(name, {
      name,
      dtype: dtypeOf(tensor.elemType, `input "${name}"`, file),
      shape: dims,
    });
  }
  const listed = [...found.values()]
    .map(({ name, dtype, shape }) => `"${name}" ${dtype}${formatOpenShape(shape)}`)
    .join(', ');
  const problems = [
    ...declared
      .filter(([, name]) => !found.has(name))
      .map(([role, name]) => `there is no input "${name}" for ${role}`),
    ...[...found.keys()]
      .filter((name) => !names.has(name))
      .map((name) => `the input "${name}" is not declared, so nothing can be fed to it`),
    ...(inputs.labels !== undefined && classes === undefined
      ? ['labels are declared without the number of classes']
      : []),
    ...(inputs.labels === undefined && classes !== undefined
      ? ['classes are declared without an input for labels']
      : []),
    ...[...found.values()].flatMap(({ name, shape }) => batchProblem(name, shape)),
  ];
  if (problems.length === 0) return found;
  throw invalidOnnx(file, `${problems.join('; ')}; its inputs are ${listed}`, {
    issues: problems.map((message) => ({ message })),
    hint: 'Correct its declaration, or export the model again with dynamic_axes for the batch.',
  });
}

function batchProblem(name: string, shape: DeclaredInput['shape']): string[] {
  if (!shape) return [];
  if (shape.length === 0) return [`the input "${name}" is one number for a whole batch`];
  if (shape[0] === undefined) return [];
  return [`the batch of the input "${name}" is fixed to ${shape[0]}`];
}

/** The shape of a sample, as the file or its declaration has it; throws MODEL_INVALID when they disagree or leave it open. */
export function sampleShapeOf(
  file: string,
  fed: ReadonlyMap<string, DeclaredInput>,
  { inputs, shape }: OnnxDeclaration,
): number[] {
  const found = fed.get(inputs.x)!.shape?.slice(1);
  const wanted = shape ?? found;
  const isKnown = wanted !== undefined && wanted.length > 0 && !wanted.includes(undefined);
  const isSame =
    !found ||
    (found.length === wanted?.length && found.every((d, i) => d === undefined || d === wanted[i]));
  if (isKnown && isSame) return wanted as number[];
  const open = formatOpenShape(found);
  throw invalidOnnx(
    file,
    isKnown
      ? `samples are declared as [${wanted.join(', ')}], its input "${inputs.x}" takes ${open}`
      : `its input "${inputs.x}" leaves the shape of a sample open: ${open}`,
    { hint: 'Say the shape without the batch as "shape" in its declaration.' },
  );
}

/** Widths of text, 0 = none, and the number of tokens where it is fixed. */
export function textOf(file: string, fed: ReadonlyMap<string, DeclaredInput>, inputs: InputNames) {
  const axis = (name: string | undefined, rank: number, at: number) => {
    if (name === undefined) return undefined;
    const shape = fed.get(name)!.shape;
    if (shape?.length === rank) return shape[at];
    throw invalidOnnx(
      file,
      `its input "${name}" is ${formatOpenShape(shape)}, not of ${rank} axes`,
    );
  };
  const contextWidth = axis(inputs.context, 3, 2);
  const pooledWidth = axis(inputs.pooled, 2, 1);
  for (const [name, width] of [
    [inputs.context, contextWidth],
    [inputs.pooled, pooledWidth],
  ] as const) {
    if (name !== undefined && width === undefined) {
      throw invalidOnnx(file, `its input "${name}" leaves the width of text open`);
    }
  }
  return {
    contextWidth: contextWidth ?? 0,
    pooledWidth: pooledWidth ?? 0,
    tokens: axis(inputs.context, 3, 1) ?? 0,
  };
}

/** An error that names the file. */
export function invalidOnnx(
  file: string,
  problem: string,
  details: Omit<FlowstepError['details'], 'file'> = {},
): FlowstepError {
  return new FlowstepError('MODEL_INVALID', `${file}: ${problem}`, {
    hint: 'Export the model again.',
    ...details,
    file,
  });
}
