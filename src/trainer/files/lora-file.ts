/** @file LoRA files as ComfyUI, kohya's trainers, Diffusers and PEFT write them: read for a network, and written for ComfyUI. */
import { FlowstepError } from '../../errors.ts';
import type { NetworkConfig } from '../nn/config.ts';
import type { LowRankDelta } from '../nn/lora-merge.ts';
import { loraStems, type NamedPart } from '../nn/lora-names.ts';
import { parameterList } from '../nn/network.ts';
import { type Shape, sizeOf } from '../tensor.ts';
import { isFloatType, readFloats } from './read-floats.ts';
import { SafetensorsFile } from './safetensors.ts';
import type { SafetensorsHeader } from './safetensors-header.ts';

/** Ends of names, longer ones before those that they end in, with what they hold. */
const ENDS: readonly (readonly [string, 'up' | 'down' | 'alpha'])[] = [
  ['.lora_linear_layer.up.weight', 'up'],
  ['.lora_linear_layer.down.weight', 'down'],
  ['.lora_B.default.weight', 'up'],
  ['.lora_A.default.weight', 'down'],
  ['.lora_up.weight', 'up'],
  ['.lora_down.weight', 'down'],
  ['.lora.up.weight', 'up'],
  ['.lora.down.weight', 'down'],
  ['_lora.up.weight', 'up'],
  ['_lora.down.weight', 'down'],
  ['.lora_B.weight', 'up'],
  ['.lora_A.weight', 'down'],
  ['.lora_B', 'up'],
  ['.lora_A', 'down'],
  ['.alpha', 'alpha'],
];

/** Beginnings of names that belong to text encoders, which are not ours to change. */
const TEXT_ENCODERS = ['lora_te', 'text_encoder', 'text_model', 'lora_prior_te'];

/** Names listed in a message before it says how many more there are. */
const LISTED = 4;

export interface Lora {
  readonly deltas: readonly LowRankDelta[];
  /** Tensors of text encoders, which are left out. */
  readonly ignored: readonly string[];
  readonly metadata: Readonly<Record<string, string>>;
}

type Names = Partial<Record<'up' | 'down' | 'alpha', string>>;

/** Where an adapter lies in a file and what it changes. */
interface Entry {
  readonly part: NamedPart;
  readonly up: string;
  readonly down: string;
  readonly alpha: string | undefined;
  readonly rank: number;
}

/**
 * Reads a LoRA for a network. Throws MODEL_INVALID, before any tensor is read, when it was made for another base (a name or a
 * shape that the network does not have), holds another kind of adapter, or half of a pair is missing.
 */
export async function readLora(path: string, network: NetworkConfig): Promise<Lora> {
  await using file = await SafetensorsFile.open(path);
  const { entries, ignored } = survey(path, file.header, network);
  const deltas: LowRankDelta[] = [];
  for (const { part, up, down, alpha, rank } of entries) {
    const scale = alpha === undefined ? 1 : (await readFloats(file, alpha))[0]! / rank;
    const factors = { up: await readFloats(file, up), down: await readFloats(file, down) };
    deltas.push({ ...part, ...factors, rank, scale });
  }
  return { deltas, ignored, metadata: file.header.metadata };
}

function survey(
  path: string,
  header: SafetensorsHeader,
  network: NetworkConfig,
): { entries: Entry[]; ignored: string[] } {
  const stems = loraStems(network, parameterList(network));
  const found = new Map<string, Names>();
  const [ignored, foreign, unsupported]: [string[], string[], string[]] = [[], [], []];
  for (const name of header.tensors.keys()) {
    const end = ENDS.find(([text]) => name.endsWith(text));
    const stem = end && name.slice(0, -end[0].length);
    if (TEXT_ENCODERS.some((start) => name.startsWith(start))) ignored.push(name);
    else if (!end || stem === undefined) unsupported.push(name);
    else if (stems.has(stem)) found.set(stem, { ...found.get(stem), [end[1]]: name });
    else foreign.push(name);
  }
  const problems = [
    ...listed('it holds more than LoRA pairs', unsupported),
    ...listed(`the ${network.kind} has no layer for`, foreign),
  ];
  const entries = [...found].flatMap(([stem, names]) => {
    const entry = entryOf(header, stem, stems.get(stem)!, names);
    if (typeof entry !== 'string') return [entry];
    problems.push(entry);
    return [];
  });
  if (problems.length === 0 && entries.length === 0) problems.push('it changes nothing');
  if (problems.length === 0) return { entries, ignored };
  throw new FlowstepError(
    'MODEL_INVALID',
    `${path}: not a LoRA for this network: ${listedText(problems, '; ')}`,
    {
      file: path,
      issues: problems.map((message) => ({ message })),
      hint: 'A LoRA fits the base model that it was trained on; only plain LoRA (up and down pairs) is read.',
    },
  );
}

/** The entry of a stem, or what is wrong with it. */
function entryOf(
  { tensors }: SafetensorsHeader,
  stem: string,
  part: NamedPart,
  { up, down, alpha }: Names,
): Entry | string {
  if (!up || !down) return `${stem} has no ${up ? 'down' : 'up'} factor`;
  const wrong = [up, down, alpha].find((name) => name && !isFloatType(tensors.get(name)!.dtype));
  if (wrong) return `${wrong} is ${tensors.get(wrong)!.dtype}`;
  const upShape = tensors.get(up)!.shape;
  const downShape = tensors.get(down)!.shape;
  const rank = downShape[0] ?? 0;
  const rows = part.to - part.from;
  const fits = (shape: Shape, first: number, rest: number) =>
    shape.length >= 2 && shape[0] === first && sizeOf(shape.slice(1)) === rest;
  if (rank < 1 || !fits(upShape, rows, rank) || !fits(downShape, rank, part.inputs)) {
    return (
      `${stem} is [${upShape.join(', ')}] times [${downShape.join(', ')}], ` +
      `the network's weight is [${rows}, ${part.inputs}]`
    );
  }
  if (alpha && sizeOf(tensors.get(alpha)!.shape) !== 1) return `${alpha} is not one number`;
  return { part, up, down, alpha, rank };
}

function listed(problem: string, names: readonly string[]): string[] {
  return names.length === 0 ? [] : [`${problem}: ${listedText(names, ', ')}`];
}

function listedText(names: readonly string[], separator: string): string {
  const more = names.length - LISTED;
  const text = names.slice(0, LISTED).join(separator);
  return more > 0 ? `${text}${separator}and ${more} more` : text;
}
