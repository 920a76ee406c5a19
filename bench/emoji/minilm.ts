/**
 * @file The sentence encoder all-MiniLM-L6-v2 (Wang et al. 2020, Reimers & Gurevych 2019) in Flowstep's own graphs:
 * captions become tokens [N, L, 384] and pooled vectors [N, 384]. Names as in its file of weights.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readFloats } from '../../src/trainer/files/read-floats.ts';
import { SafetensorsFile } from '../../src/trainer/files/safetensors.ts';
import { Graph, type Value } from '../../src/trainer/graph/graph.ts';
import { add, gelu, layerNormalization, reduceMean } from '../../src/trainer/graph/ops.ts';
import { attention, linear, ZEROS } from '../../src/trainer/nn/layers.ts';
import type { Scope } from '../../src/trainer/nn/parameters.ts';
import { Program } from '../../src/trainer/runtime/program.ts';
import { float32, type Tensor } from '../../src/trainer/tensor.ts';

const WIDTH = 384;
const LAYERS = 6;
const HEADS = 12;
const EPSILON = 1e-12;

/** Numbers of the vocabulary's marks, which are lines of vocab.txt. */
const [UNKNOWN, START, END] = ['[UNK]', '[CLS]', '[SEP]'];

export interface TextEmbeddings {
  /** Last hidden states; texts that are shorter than the longest end in zeros. */
  readonly context: Tensor<'float32'>;
  /** Means over the tokens of a text, scaled to a mean square of 1 as networks like their inputs. */
  readonly pooled: Tensor<'float32'>;
}

/** Embeds texts by the model in `folder`. */
export async function embed(folder: string, texts: readonly string[]): Promise<TextEmbeddings> {
  const lines = (await readFile(join(folder, 'vocab.txt'), 'utf8')).split('\n');
  const vocabulary = new Map(lines.map((word, i) => [word.trim(), i]));
  await using file = await SafetensorsFile.open(join(folder, 'model.safetensors'));
  const weights = new Map<string, Tensor>();
  for (const [name, { shape, dtype }] of file.header.tensors) {
    if (dtype === 'F32') weights.set(name, float32(await readFloats(file, name), shape));
  }
  const tokens = texts.map((text) => tokenise(text, vocabulary));
  const longest = Math.max(...tokens.map(({ length }) => length));
  const context = new Float32Array(texts.length * longest * WIDTH);
  const pooled = new Float32Array(texts.length * WIDTH);
  const encoders = new Map<number, Encoder>();
  for (const [i, ids] of tokens.entries()) {
    const encoder = encoders.get(ids.length) ?? new Encoder(weights, ids.length);
    encoders.set(ids.length, encoder);
    const { states, mean } = await encoder.run(ids);
    context.set(states, i * longest * WIDTH);
    const scale = Math.sqrt(WIDTH) / Math.hypot(...mean);
    for (const [k, m] of mean.entries()) pooled[i * WIDTH + k] = m * scale;
  }
  for (const encoder of encoders.values()) encoder.dispose();
  return {
    context: float32(context, [texts.length, longest, WIDTH]),
    pooled: float32(pooled, [texts.length, WIDTH]),
  };
}

/** WordPiece (Wu et al. 2016): the longest pieces that the vocabulary has; those that go on a word begin with ##. */
export function tokenise(text: string, vocabulary: ReadonlyMap<string, number>): number[] {
  const pieces = text
    .toLowerCase()
    .split(/\s+/)
    .flatMap((word) => piecesOf(word, vocabulary));
  return [START!, ...pieces, END!].map((piece) => vocabulary.get(piece)!);
}

function piecesOf(word: string, vocabulary: ReadonlyMap<string, number>): string[] {
  const pieces: string[] = [];
  for (let from = 0; from < word.length; ) {
    const prefix = from > 0 ? '##' : '';
    let to = word.length;
    while (to > from && !vocabulary.has(prefix + word.slice(from, to))) to--;
    if (to === from) return [UNKNOWN!];
    pieces.push(prefix + word.slice(from, to));
    from = to;
  }
  return pieces;
}

/** The network for texts of one length. */
class Encoder {
  /** Last hidden states [L, 384] of a text, and their mean [384]. */
  readonly states: Float32Array;
  readonly mean = new Float32Array(WIDTH);
  readonly #weights: ReadonlyMap<string, Tensor>;
  readonly #embedded: Float32Array;
  readonly #program: Program;

  constructor(weights: ReadonlyMap<string, Tensor>, length: number) {
    this.#weights = weights;
    this.states = new Float32Array(length * WIDTH);
    this.#embedded = new Float32Array(length * WIDTH);
    const graph = new Graph();
    const scope: Scope = { graph, parameter: (name) => graph.constant(weights.get(name)!) };
    const states = bert(scope, graph.input('embedded', [length, WIDTH]));
    graph.output('states', states);
    graph.output('mean', reduceMean(states, [0]));
    this.#program = new Program(graph, { name: 'text encoder' });
    this.#program.bindInput('embedded', float32(this.#embedded, [length, WIDTH]));
    this.#program.bindOutput('states', float32(this.states, [length, WIDTH]));
    this.#program.bindOutput('mean', float32(this.mean, [WIDTH]));
  }

  async run(ids: readonly number[]): Promise<this> {
    for (const [place, id] of ids.entries()) {
      const parts = [
        this.#row('word', id),
        this.#row('position', place),
        this.#row('token_type', 0),
      ];
      for (let k = 0; k < WIDTH; k++) {
        this.#embedded[place * WIDTH + k] = parts.reduce((sum, part) => sum + part[k]!, 0);
      }
    }
    await this.#program.run();
    return this;
  }

  dispose(): void {
    this.#program.dispose();
  }

  #row(table: 'word' | 'position' | 'token_type', i: number): Float32Array {
    const { data } = this.#weights.get(`embeddings.${table}_embeddings.weight`)!;
    return (data as Float32Array).subarray(i * WIDTH, (i + 1) * WIDTH);
  }
}

/** BERT (Devlin et al. 2019) with normalisation after each part, on one text x [L, W]. */
function bert(scope: Scope, x: Value): Value {
  const normal = (name: string, value: Value) => {
    const [gain, shift] = ['weight', 'bias'].map((part) =>
      scope.parameter(`${name}.LayerNorm.${part}`, [WIDTH], ZEROS),
    );
    return layerNormalization(value, gain!, shift, EPSILON);
  };
  let h = normal('embeddings', x);
  for (let i = 0; i < LAYERS; i++) {
    const layer = `encoder.layer.${i}`;
    const part = (name: string) => linear(scope, `${layer}.attention.self.${name}`, h, WIDTH);
    const mixed = attention(part('query'), part('key'), part('value'), 1, HEADS);
    const attended = linear(scope, `${layer}.attention.output.dense`, mixed, WIDTH);
    h = normal(`${layer}.attention.output`, add(h, attended));
    const hidden = gelu(linear(scope, `${layer}.intermediate.dense`, h, 4 * WIDTH), 'none');
    h = normal(`${layer}.output`, add(h, linear(scope, `${layer}.output.dense`, hidden, WIDTH)));
  }
  return h;
}
