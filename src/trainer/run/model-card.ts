/** @file The model card written beside a model file (YAML front matter as on model hubs, then what it is and what trained it). */
import { sampleShape } from '../nn/config.ts';
import { onnxSummary } from '../nn/onnx-network.ts';
import type { ModelInfo } from './model.ts';
import { makesPictures, modelDescription, modelTitle, samplingAdvice } from './model-words.ts';

export interface CardFacts {
  /** Name of the model file, which lies beside the card. */
  readonly file: string;
  readonly parameters: number;
  readonly bytes: number;
  readonly dtype: string;
  readonly sha256: string;
  readonly date: Date;
}

const HASH_ROW = 'sha256 of the file';

/** The card's text. */
export function modelCard(info: ModelInfo, facts: CardFacts): string {
  const { command, nodes } = samplingAdvice(info, facts.file);
  return `${frontMatter(info)}
# ${modelTitle(info)}
${modelDescription(info)}

## Use
\`\`\`sh
${command}
\`\`\`
In a workflow: ${nodes}.${info.lora ? `\n\n${loraText(info.lora)}` : ''}
${info.student ? `\n${studentText(info.student)}\n` : ''}
## Model
${table([
  ['network', networkText(info)],
  ['sample shape', `[${sampleShape(info.network).join(', ')}]`],
  ['parameters', facts.parameters.toLocaleString('en-US')],
  ['weights', `${facts.dtype}, ${(facts.bytes / 1e6).toFixed(2)} MB`],
  ['data set', info.dataset.name],
  ['sha256 of the data set', info.dataset.hash],
  [HASH_ROW, facts.sha256],
  ['made on', facts.date.toISOString().slice(0, 10)],
])}

## Training
${table(settings(info))}
`;
}

/** The hash of the model file that a card speaks of; undefined when it names none. */
export function hashInCard(card: string): string | undefined {
  return new RegExp(`^\\| ${HASH_ROW} \\| ([0-9a-f]{64}) \\|$`, 'm').exec(card)?.[1];
}

/** Where the card of a model file lies. */
export function cardPath(modelFile: string): string {
  return modelFile.replace(/(\.safetensors)?$/, '.md');
}

function frontMatter({ role, network, dataset, student }: ModelInfo): string {
  const tags =
    role === 'student'
      ? [
          'flow-matching',
          student?.grid.length === 1 ? 'one-step' : 'few-step',
          'flow-generator-matching',
        ]
      : ['flow-matching', role];
  const lines = [
    'library_name: flowstep',
    ...(makesPictures(network) ? ['pipeline_tag: unconditional-image-generation'] : []),
    `tags: [${tags.join(', ')}]`,
    // A JSON string is a YAML string; names may hold colons.
    `datasets: [${JSON.stringify(dataset.name)}]`,
  ];
  return ['---', ...lines, '---'].join('\n');
}

/** What is needed beside the file. */
function loraText({ base, file }: NonNullable<ModelInfo['lora']>): string {
  const name = file === undefined ? 'Its base' : `Its base, \`${file}\`,`;
  return `${name} is the model whose weights have the sha256 \`${base}\`. Files that are not found as they are named are looked for below the folders of models, output and data. A LoRA of Stable Diffusion 3 that **Save Flow Model** has written as \`comfyui-lora\` is also for KSampler: the workflow beside it says how.`;
}

function studentText({ tStar, cIn, grid, transition }: NonNullable<ModelInfo['student']>): string {
  const words = "where `z` is standard normal noise and `v` the network's velocity";
  if (grid.length === 1) {
    return `The step is \`x0 = z' - ${tStar} v(z', ${tStar})\` with \`z' = ${cIn} z\`, ${words} (time 0 is data, 1 is noise).`;
  }
  const between = transition === 'euler' ? 'by an Euler step' : 'by adding fresh noise to x0';
  return `It starts at \`${cIn} z\` and looks at the times ${grid.join(', ')} (0 is data, 1 is noise), going from each to the next ${between}, ${words}.`;
}

function networkText({ network }: ModelInfo): string {
  const { kind, ...sizes } = network.kind === 'onnx' ? onnxSummary(network) : network;
  const parts = Object.entries(sizes).map(([name, value]) => `${name} ${value}`);
  return [kind.toUpperCase(), ...parts].join(', ');
}

/** Everything that the file says beyond what the model is: how the student is run, and what trained it. */
function settings({ role, network, dataset, training, ...more }: ModelInfo): Row[] {
  return [...flat('', more), ...flat('', training)];
}

/** Nested settings as rows: `student.tStar`. */
function flat(name: string, value: unknown): Row[] {
  if (value === undefined) return [];
  if (typeof value !== 'object' || value === null) return [[name, String(value)]];
  if (Array.isArray(value)) return [[name, JSON.stringify(value)]];
  return Object.entries(value).flatMap(([key, inner]) =>
    flat(name ? `${name}.${key}` : key, inner),
  );
}

type Row = readonly [name: string, value: string];

function table(rows: readonly Row[]): string {
  const cell = (text: string) => text.replaceAll('|', '\\|').replaceAll('\n', ' ');
  return [
    '| | |',
    '|---|---|',
    ...rows.map(([name, value]) => `| ${name} | ${cell(value)} |`),
  ].join('\n');
}
