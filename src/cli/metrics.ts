/** @file `flowstep metrics`: how far generated samples are from real ones, by their features. */
import { join } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { readRoots } from '../config.ts';
import { FlowstepError } from '../errors.ts';
import { sha256OfFile } from '../trainer/files/hash.ts';
import { SafetensorsFile } from '../trainer/files/safetensors.ts';
import { featuresOfFile } from '../trainer/metrics/feature-source.ts';
import { featureStatistics } from '../trainer/metrics/feature-statistics.ts';
import {
  DEFAULT_NEIGHBOURS,
  METRICS,
  type Metric,
  type Score,
  scoreFeatures,
} from '../trainer/metrics/score-features.ts';
import { cachedStatistics } from '../trainer/metrics/statistics-cache.ts';
import { answer, JSON_HELP } from './answer.ts';
import { addEngineOptions } from './engine-options.ts';
import { examples, type Io } from './io.ts';
import { wholeNumber } from './options.ts';

interface MetricsOptions {
  readonly real: string;
  readonly fake: string;
  readonly metrics?: readonly Metric[];
  readonly neighbours: number;
  readonly seed: number;
  readonly json?: boolean;
}

/** Tensors that files of features hold. */
const FEATURES = 'features';
const LOGITS = 'logits';
/** What `flowstep sample` writes: points are features of themselves. */
const SAMPLES = 'samples';
/** Metadata key with the name of what made the features. */
const EXTRACTOR = 'extractor';
/** Adds the command to the program. */
export function addMetricsCommand(program: Command, io: Io): void {
  addEngineOptions(program.command('metrics'))
    .description(
      'Compare generated with real samples by their features: FID, KID, precision, recall, density, coverage, Inception score.',
    )
    .requiredOption(
      '--real <FILE>',
      `features of real samples: .safetensors with "${FEATURES}", or "${SAMPLES}" of points`,
    )
    .requiredOption('--fake <FILE>', `features of generated samples, and "${LOGITS}" if there are`)
    .option(
      '--metrics <LIST>',
      `which, separated by commas, of ${METRICS.join(', ')} (default: all that the files allow)`,
      metricList,
    )
    .option(
      '--neighbours <K>',
      'nearest neighbours for precision, recall, density and coverage',
      wholeNumber(1, 1000),
      DEFAULT_NEIGHBOURS,
    )
    .option('--seed <S>', "of KID's subsets", wholeNumber(0, Number.MAX_SAFE_INTEGER), 0)
    .option('--json', JSON_HELP)
    .addHelpText(
      'before',
      examples(
        'flowstep metrics --real train.safetensors --fake student.safetensors',
        'flowstep metrics --real train.safetensors --fake student.safetensors --metrics fid,kid --json',
      ),
    )
    .action((options: MetricsOptions) =>
      answer(
        io,
        options.json,
        () => compare(options, io),
        ({ scores }) => scoreLines(scores),
      ),
    );
}

async function compare(options: MetricsOptions, io: Io) {
  await using realFile = await SafetensorsFile.open(options.real);
  await using fakeFile = await SafetensorsFile.open(options.fake);
  const [realTensor, fakeTensor] = [tensorOf(realFile), tensorOf(fakeFile)];
  const real = featuresOfFile(realFile, realTensor);
  const fake = featuresOfFile(fakeFile, fakeTensor);
  const names = [realFile, fakeFile].map(({ header }) => header.metadata[EXTRACTOR]);
  const isNamed = names[0] !== undefined && names[0] === names[1];
  const notices: string[] = [];
  if (names[0] !== names[1]) {
    const [a, b] = names.map((name) => (name === undefined ? 'no extractor' : `"${name}"`));
    notices.push(
      `the files name ${a} and ${b}: scores between different feature spaces mean nothing`,
    );
  }
  if (realTensor !== fakeTensor) {
    notices.push(
      `one file holds ${realTensor}, the other ${fakeTensor}: scores between the two mean nothing unless they are alike`,
    );
  }
  // Where the files name no extractor, scores are called after what is compared.
  const extractor = isNamed ? names[0]! : realTensor;
  const realStatistics = async () => {
    const folder = join(readRoots(io.environment).output, 'cache', 'metrics');
    const key = `${realTensor} ${await sha256OfFile(options.real)}`;
    const kept = await cachedStatistics(folder, key, () => featureStatistics(real, io.signal));
    if (kept.problem !== undefined) notices.push(`statistics are not kept: ${kept.problem}`);
    return kept.statistics;
  };
  const result = await scoreFeatures(
    {
      real,
      fake,
      ...(fakeFile.header.tensors.has(LOGITS) && { logits: featuresOfFile(fakeFile, LOGITS) }),
      extractor,
      ...(options.metrics && { metrics: options.metrics }),
      neighbours: options.neighbours,
      seed: options.seed,
      realStatistics,
      onStage: (what) => io.log.status(what),
    },
    io.signal,
  );
  io.log.status('');
  notices.push(...result.notices);
  for (const notice of notices) io.log.line(`note: ${notice}`);
  return {
    extractor,
    real: { file: options.real, samples: real.count, dim: real.dim },
    fake: { file: options.fake, samples: fake.count, dim: fake.dim },
    neighbours: options.neighbours,
    seed: options.seed,
    scores: result.scores,
    notices,
  };
}

/** The tensor that is compared. Throws SHAPE_MISMATCH for pictures, which no extractor has seen. */
function tensorOf({ path, header }: SafetensorsFile): string {
  const samples = header.tensors.get(SAMPLES);
  if (header.tensors.has(FEATURES) || !samples) return FEATURES;
  if (samples.shape.length <= 2) return SAMPLES;
  throw new FlowstepError(
    'SHAPE_MISMATCH',
    `${path}: holds samples of [${samples.shape.slice(1).join(', ')}], and no "${FEATURES}" of them`,
    {
      file: path,
      hint: 'Pictures are compared by what an extractor sees in them: flowstep eval --model FILE --features FILE.onnx does both.',
    },
  );
}

function scoreLines(scores: readonly Score[]): string[] {
  const width = Math.max(...scores.map(({ name }) => name.length));
  return scores.map(({ name, value, std }) => {
    const spread = std === undefined ? '' : ` +- ${figure(std)}`;
    return `${name.padEnd(width)}  ${figure(value)}${spread}`;
  });
}

/** Six figures: more than any of the metrics is sure of. */
function figure(value: number): string {
  return String(Number(value.toPrecision(6)));
}

function metricList(text: string): Metric[] {
  return text.split(',').map((word) => {
    const metric = METRICS.find((name) => name === word.trim());
    if (metric) return metric;
    throw new InvalidArgumentError(`"${word}" is not one of ${METRICS.join(', ')}.`);
  });
}
