/** @file The graph of an ONNX model without its weights: small enough to be part of a network's configuration. */
import { FlowstepError } from '../../errors.ts';
import { ELEMENT_TYPES, IR_VERSION, ModelProto } from './onnx-format.ts';
import {
  type GraphMessage,
  type ModelMessage,
  parseModel,
  type TensorMessage,
} from './onnx-tensors.ts';

/** What one output of a model depends on; everything else is left out. Throws MODEL_INVALID when there is no such output. */
export function partFor(message: GraphMessage, output: string, file: string): GraphMessage {
  const wanted = message.output.find(({ name }) => name === output);
  if (!wanted) {
    const names = message.output.map(({ name }) => name).join(', ');
    throw new FlowstepError('MODEL_INVALID', `${file} has no output "${output}" but ${names}`, {
      file,
      hint: 'Name one of these as "output" in its declaration.',
    });
  }
  const needed = new Set([output]);
  const node = message.node.toReversed().filter((n) => {
    const isNeeded = n.output.some((name) => needed.has(name));
    if (isNeeded) for (const name of n.input) needed.add(name);
    return isNeeded;
  });
  const isNeeded = ({ name }: { readonly name: string }) => needed.has(name);
  return {
    node: node.reverse(),
    initializer: message.initializer.filter(isNeeded),
    sparseInitializer: [],
    input: message.input.filter(isNeeded),
    output: [wanted],
  };
}

/** The bytes of a model whose `weights` are inputs after all others, in the order of the file. */
export function encodeStructure(
  model: ModelMessage,
  part: GraphMessage,
  weights: ReadonlySet<string>,
): Uint8Array {
  const constants = part.initializer.filter(({ name }) => !weights.has(name));
  const given = new Set(part.initializer.map(({ name }) => name));
  const structure = {
    irVersion: IR_VERSION,
    opsetImport: model.opsetImport,
    graph: {
      name: 'network',
      node: part.node,
      initializer: constants,
      input: [
        ...part.input.filter(({ name }) => !given.has(name)),
        ...part.initializer.filter(({ name }) => weights.has(name)).map(asInput),
      ],
      output: part.output,
    },
  };
  return ModelProto.encode(ModelProto.create(stripped(structure) as object)).finish();
}

/** The graph of an encoded structure. */
export function parseStructure(bytes: Uint8Array): GraphMessage {
  const { graph } = parseModel(bytes, 'the network');
  if (graph) return graph;
  throw new FlowstepError('MODEL_INVALID', 'the network has no ONNX graph', {
    hint: 'Load its .onnx file again.',
  });
}

function asInput({ name, dims, dataType }: TensorMessage): object {
  const dim = dims.map((dimValue) => ({ dimValue }));
  const elemType = dataType === ELEMENT_TYPES.float64 ? dataType : ELEMENT_TYPES.float32;
  return { name, type: { tensorType: { elemType, shape: { dim } } } };
}

/** The greatest number below 2^63, which rounding has taken for the end of 64 bits. */
const MAX_INT64 = 2 ** 63 - 1024;

/** Without what has its default value anyway, which every message lists. */
function stripped(value: unknown): unknown {
  if (typeof value === 'number') return Math.min(value, MAX_INT64);
  if (value instanceof Uint8Array || typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(stripped);
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, member]) => !isDefault(member))
      .map(([key, member]) => [key, stripped(member)]),
  );
}

function isDefault(member: unknown): boolean {
  if (member instanceof Uint8Array || Array.isArray(member)) return member.length === 0;
  return member === null || member === undefined || member === 0 || member === '';
}
