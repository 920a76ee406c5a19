/** @file Messages of an ONNX file as plain objects, and the tensors in them. */
import { FlowstepError } from '../../errors.ts';
import { type DType, type Shape, sizeOf, type Tensor, type TypedArrays } from '../tensor.ts';
import { ELEMENT_TYPES, ModelProto } from './onnx-format.ts';
import { formatShape } from './shapes.ts';

export interface TensorMessage {
  readonly name: string;
  readonly dims: readonly number[];
  readonly dataType: number;
  readonly floatData: readonly number[];
  readonly int32Data: readonly number[];
  readonly int64Data: readonly number[];
  readonly doubleData: readonly number[];
  readonly rawData: Uint8Array;
  readonly externalData: readonly { readonly key: string; readonly value: string }[];
  readonly dataLocation: number;
}

export interface AttributeMessage {
  readonly name: string;
  readonly type: number;
  readonly f: number;
  readonly i: number;
  readonly s: Uint8Array;
  readonly t: TensorMessage | null;
  readonly floats: readonly number[];
  readonly ints: readonly number[];
}

export interface NodeMessage {
  readonly name: string;
  readonly opType: string;
  readonly domain: string;
  readonly input: readonly string[];
  readonly output: readonly string[];
  readonly attribute: readonly AttributeMessage[];
}

interface DimensionMessage {
  readonly value?: string;
  readonly dimValue?: number;
  readonly dimParam?: string;
}

export interface ValueInfoMessage {
  readonly name: string;
  readonly type: {
    readonly tensorType?: {
      readonly elemType: number;
      readonly shape: { readonly dim: readonly DimensionMessage[] } | null;
    };
  } | null;
}

export interface GraphMessage {
  readonly node: readonly NodeMessage[];
  readonly initializer: readonly TensorMessage[];
  readonly sparseInitializer: readonly object[];
  readonly input: readonly ValueInfoMessage[];
  readonly output: readonly ValueInfoMessage[];
}

export interface ModelMessage {
  readonly graph: GraphMessage | null;
  readonly opsetImport: readonly { readonly domain: string; readonly version: number }[];
  readonly metadataProps: readonly { readonly key: string; readonly value: string }[];
}

/** The messages of a file; throws FILE_FORMAT when the bytes are none. Numbers beyond 2^53 are rounded. */
export function parseModel(bytes: Uint8Array, file: string): ModelMessage {
  try {
    const options = { longs: Number, defaults: true, arrays: true, oneofs: true };
    return ModelProto.toObject(ModelProto.decode(bytes), options) as ModelMessage;
  } catch (cause) {
    throw new FlowstepError('FILE_FORMAT', `${file} is not an ONNX model`, {
      file,
      hint: 'give an .onnx file, as torch.onnx.export writes it',
      cause,
    });
  }
}

const DTYPES = new Map<number, DType>(
  Object.entries(ELEMENT_TYPES).map(([dtype, number]) => [number, dtype as DType]),
);

/** ONNX's element type as ours; throws OPERATOR_UNSUPPORTED. */
export function dtypeOf(elementType: number, what: string, file: string): DType {
  const dtype = DTYPES.get(elementType);
  if (dtype) return dtype;
  throw new FlowstepError(
    'OPERATOR_UNSUPPORTED',
    `${file}: ${what} has the unsupported element type ${elementType}`,
    { file, hint: `supported are ${[...DTYPES.values()].join(', ')}` },
  );
}

/** ONNX's TensorProto.DataLocation.EXTERNAL. */
export const EXTERNAL = 1;

type FromBuffer = { [D in DType]: (buffer: ArrayBuffer) => TypedArrays[D] };

const FROM_BUFFER: FromBuffer = {
  float64: (b) => new Float64Array(b),
  float32: (b) => new Float32Array(b),
  float16: (b) => new Uint16Array(b),
  bfloat16: (b) => new Uint16Array(b),
  int64: (b) => new BigInt64Array(b),
  int32: (b) => new Int32Array(b),
  uint8: (b) => new Uint8Array(b),
  bool: (b) => new Uint8Array(b),
};

/** Bytes of an element. */
export const ELEMENT_BYTES: Record<DType, number> = {
  float64: 8,
  float32: 4,
  float16: 2,
  bfloat16: 2,
  int64: 8,
  int32: 4,
  uint8: 1,
  bool: 1,
};

/** Whether the numbers of a tensor lie in another file. */
export const isExternal = ({ dataLocation, externalData }: TensorMessage): boolean =>
  dataLocation === EXTERNAL || externalData.length > 0;

/** The tensor of a message; `what` names it in errors. `external` are its bytes where they lie in another file. */
export function decodeTensor(
  message: TensorMessage,
  what: string,
  file: string,
  external?: Uint8Array,
): Tensor {
  if (isExternal(message) && !external) {
    throw new FlowstepError('OPERATOR_UNSUPPORTED', `${file}: ${what} lies in another file`, {
      file,
      hint: 'save the model as one file (torch.onnx.export: external_data=False)',
    });
  }
  const dtype = dtypeOf(message.dataType, what, file);
  const shape: Shape = message.dims;
  const size = sizeOf(shape);
  const wrongSize = (held: string) =>
    new FlowstepError(
      'FILE_FORMAT',
      `${file}: ${what} of shape ${formatShape(shape)} holds ${held}`,
      { file, hint: 'the file is damaged: export it again' },
    );
  if (shape.some((d) => d < 0) || !Number.isSafeInteger(size)) throw wrongSize('no such shape');
  const raw = external ?? message.rawData;
  if (raw.length > 0) {
    if (raw.length !== size * ELEMENT_BYTES[dtype])
      throw wrongSize(`${raw.length} bytes of ${dtype}`);
    // The bytes are copied, as they may lie anywhere in the file.
    return { dtype, shape, data: FROM_BUFFER[dtype](new Uint8Array(raw).buffer) };
  }
  const numbers = numbersOf(message, dtype);
  if (numbers.length !== size) throw wrongSize(`${numbers.length} numbers`);
  const data = FROM_BUFFER[dtype](new ArrayBuffer(size * ELEMENT_BYTES[dtype]));
  for (const [i, n] of numbers.entries()) {
    data[i] = dtype === 'int64' ? bigInteger(n) : n;
  }
  return { dtype, shape, data };
}

/** Numbers were rounded to 53 bits, which takes the greatest of 64 bits, as slices to the end have, beyond them. */
const bigInteger = (n: number) => (n >= 2 ** 63 ? 2n ** 63n - 1n : BigInt(n));

/** The field that holds the numbers of a type when they are not raw bytes; 16-bit types as their bits. */
function numbersOf(message: TensorMessage, dtype: DType): readonly number[] {
  switch (dtype) {
    case 'float32':
      return message.floatData;
    case 'float64':
      return message.doubleData;
    case 'int64':
      return message.int64Data;
    default:
      return message.int32Data;
  }
}
