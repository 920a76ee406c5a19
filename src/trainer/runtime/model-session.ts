/** @file An ONNX file run as it is, whatever its operators; what is differentiated or trained is a Program. */
import { FlowstepError } from '../../errors.ts';
import {
  dtypeOf,
  type GraphMessage,
  parseModel,
  type ValueInfoMessage,
} from '../graph/onnx-tensors.ts';
import type { DType, Tensor } from '../tensor.ts';
import { type Engine, engine } from './engine.ts';
import type { Pointer } from './ort-api.ts';

export interface ModelPort {
  readonly name: string;
  readonly dtype: DType;
  /** Sizes; undefined where the file leaves one open. */
  readonly shape: readonly (number | undefined)[];
}

/** Named tensors. */
export type Feed = Readonly<Record<string, Tensor>>;

export class ModelSession implements Disposable {
  readonly inputs: readonly ModelPort[];
  readonly outputs: readonly ModelPort[];
  readonly #file: string;
  readonly #engine: Engine;
  readonly #session: Pointer;
  readonly #runOptions: Pointer;

  /** `file` is named in errors. Throws FILE_FORMAT, OPERATOR_UNSUPPORTED or ENGINE. */
  constructor(model: Uint8Array, file: string, on: Engine = engine()) {
    const graph = graphOf(model, file);
    const given = new Set(graph.initializer.map(({ name }) => name));
    this.inputs = graph.input.filter(({ name }) => !given.has(name)).map((v) => port(v, file));
    this.outputs = graph.output.map((value) => port(value, file));
    this.#file = file;
    this.#engine = on;
    try {
      this.#session = on.createSession(model);
    } catch (error) {
      throw this.#explained(error);
    }
    this.#runOptions = on.api.create('CreateRunOptions');
  }

  /** Reads `inputs` and writes `outputs` in place; outputs that are not named are not given. Throws ENGINE. */
  async run(inputs: Feed, outputs: Feed): Promise<void> {
    const { api } = this.#engine;
    const binding = api.create('CreateIoBinding', this.#session);
    const bound = [
      ...Object.entries(inputs).map(([name, tensor]) => ['BindInput', name, tensor] as const),
      ...Object.entries(outputs).map(([name, tensor]) => ['BindOutput', name, tensor] as const),
    ].map(([how, name, tensor]) => ({ how, name, memory: this.#engine.bind(tensor) }));
    try {
      for (const { how, name, memory } of bound) api.call(how, binding, name, memory.value);
      await this.#engine.compute('RunWithBinding', this.#session, this.#runOptions, binding);
    } catch (error) {
      throw this.#explained(error);
    } finally {
      api.release('ReleaseIoBinding', binding);
      for (const { memory } of bound) this.#engine.unbind(memory);
    }
  }

  [Symbol.dispose](): void {
    this.#engine.api.release('ReleaseRunOptions', this.#runOptions);
    this.#engine.api.release('ReleaseSession', this.#session);
    this.#engine.memory?.giveBack();
  }

  #explained(error: unknown): unknown {
    if (!(error instanceof FlowstepError) || error.code !== 'ENGINE') return error;
    return new FlowstepError('ENGINE', `${this.#file}: ${error.message}`, {
      file: this.#file,
      cause: error,
    });
  }
}

/** ONNX's TensorProto.DataLocation.EXTERNAL. */
const EXTERNAL = 1;

function graphOf(model: Uint8Array, file: string): GraphMessage {
  const { graph } = parseModel(model, file);
  if (!graph || graph.output.length === 0) {
    throw new FlowstepError('FILE_FORMAT', `${file} is not an ONNX model: it has no outputs`, {
      file,
      hint: 'Give an .onnx file, as torch.onnx.export writes it.',
    });
  }
  const elsewhere = graph.initializer.find(({ dataLocation }) => dataLocation === EXTERNAL);
  if (elsewhere) {
    throw new FlowstepError(
      'OPERATOR_UNSUPPORTED',
      `${file}: tensor "${elsewhere.name}" is stored in another file`,
      { file, hint: 'Export the model as one file: external_data=False.' },
    );
  }
  return graph;
}

function port({ name, type }: ValueInfoMessage, file: string): ModelPort {
  const tensor = type?.tensorType;
  if (!tensor) {
    throw new FlowstepError('OPERATOR_UNSUPPORTED', `${file}: "${name}" is no tensor`, { file });
  }
  const shape = (tensor.shape?.dim ?? []).map(({ value, dimValue = 0 }) =>
    value === 'dimValue' && dimValue > 0 ? dimValue : undefined,
  );
  return { name, dtype: dtypeOf(tensor.elemType, `"${name}"`, file), shape };
}
