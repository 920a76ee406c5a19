/** @file What only constants decide, computed while a model is decoded: shapes, mostly, which exporters write as graphs. */
import { sizeOf, type Tensor } from '../tensor.ts';
import { convertedTo } from './convert-tensor.ts';
import type { InputNode, Value } from './graph.ts';
import { evaluateOperator, type Plain } from './interpreter.ts';

/** Elements beyond which nothing is computed: more than any shape or table of positions has. */
const MAX_ELEMENTS = 1 << 22;

export class ConstantFolder {
  readonly #known = new Map<number, Plain | undefined>();
  readonly #tensorOf: (input: InputNode) => Tensor | undefined;

  /** `tensorOf` gives the value of an input that has one after all, such as a weight. */
  constructor(tensorOf: (input: InputNode) => Tensor | undefined = () => undefined) {
    this.#tensorOf = tensorOf;
  }

  /** The numbers of a value; undefined when they are not known before the graph runs, or too many. */
  numbers(value: Value): readonly number[] | undefined {
    for (const needed of this.#unknownBefore(value)) {
      this.#known.set(needed.id, this.#compute(needed));
    }
    const found = this.#known.get(value.id);
    return found && [...found.data];
  }

  /** What has to be computed for a value, in an order in which it can be. */
  #unknownBefore(value: Value): Value[] {
    const needed = new Map<number, Value>();
    const open = [value];
    for (let next = open.pop(); next; next = open.pop()) {
      if (this.#known.has(next.id) || needed.has(next.id)) continue;
      needed.set(next.id, next);
      open.push(...next.node.inputs);
    }
    return [...needed.values()].sort((a, b) => a.id - b.id);
  }

  #compute({ node, index, shape }: Value): Plain | undefined {
    if (sizeOf(shape) > MAX_ELEMENTS) return undefined;
    if (node.kind === 'constant') return plain(node.tensor);
    if (node.kind === 'input') {
      const tensor = this.#tensorOf(node);
      return tensor && plain(tensor);
    }
    const inputs = node.inputs.map(({ id }) => this.#known.get(id));
    if (inputs.includes(undefined)) return undefined;
    const data = evaluateOperator(node, inputs as Plain[])[index];
    return data && { shape, data };
  }
}

function plain(tensor: Tensor): Plain {
  const { shape, data } = convertedTo(tensor, 'float64');
  return { shape, data: Float64Array.from<number | bigint>(data, Number) };
}
