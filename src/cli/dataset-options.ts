/** @file Flow Dataset as options: which of them name a data set, and which ones a data set uses. */
import type { Command } from 'commander';
import { FlowstepError } from '../errors.ts';
import { datasetNode, INPUTS_OF_SOURCE } from '../nodes/dataset.ts';
import { addNodeOptions, type GivenOption, type NodeOptions } from './node-options.ts';

type Source = keyof typeof INPUTS_OF_SOURCE;

/** Values of Flow Dataset that name a data set. */
export interface NamedDataset {
  readonly source: Source;
  readonly split?: 'train' | 'test';
}

/** Inputs that say by themselves which source they are for. */
const SOURCE_OF_INPUT: Readonly<Record<string, Source>> = {
  folder: 'folder',
  images: 'idx',
  file: 'latents',
};

/** The options of Flow Dataset; `usual` says what is taken when none of them names a data set. */
export function addDatasetOptions(command: Command, usual: string): NodeOptions {
  return addNodeOptions(command, {
    node: datasetNode,
    heading: 'Data',
    changes: {
      source: {
        name: 'dataset',
        text: 'Points in the plane (8g: eight Gaussians, moons, checker), Fashion-MNIST, CIFAR-10, or what --folder, --images or --latents name: these need no --dataset.',
        usual,
        // They come from the nodes of a graph.
        without: 'images',
      },
      size: {
        text: 'For folder: pictures are resized and cropped in the middle to squares of this side; 0 = as they are, all of one size.',
      },
      channels: { text: 'For folder: colour or grey.' },
      file: { name: 'latents' },
    },
  });
}

/**
 * What the options say to Flow Dataset, `usual` where they name no data set; undefined where there is none at all. Throws
 * USAGE for options that the data set does not use: what was meant is another one.
 */
export function datasetValues(
  options: NodeOptions,
  given: Readonly<Record<string, unknown>>,
  usual: NamedDataset | undefined,
): Record<string, unknown> | undefined {
  const chosen = options.given(given).filter(({ input }) => input !== 'source');
  const named =
    (given['dataset'] as Source | undefined) ??
    chosen.map(({ input }) => SOURCE_OF_INPUT[input]).find((source) => source !== undefined);
  const source = named ?? usual?.source;
  const used: readonly string[] = source === undefined ? [] : INPUTS_OF_SOURCE[source];
  const unused = chosen.filter(({ input }) => !used.includes(input));
  if (unused.length > 0) throw unusedOptions(unused, named, source);
  if (source === undefined) return undefined;
  const values = options.values(given);
  const split = named === undefined ? usual?.split : undefined;
  return { ...values, source, ...(split && given['split'] === undefined && { split }) };
}

function unusedOptions(
  unused: readonly GivenOption[],
  named: Source | undefined,
  source: Source | undefined,
): FlowstepError {
  const options = unused.map(({ option }) => option).join(', ');
  const verb = unused.length === 1 ? 'is' : 'are';
  const uses = unused.map(({ input, option }) => {
    const sources = Object.entries(INPUTS_OF_SOURCE).filter(
      ([name, inputs]) => name !== 'images' && inputs.some((one) => one === input),
    );
    return `${option} is for --dataset ${sources.map(([name]) => name).join(', ')}.`;
  });
  if (named !== undefined) {
    return new FlowstepError('USAGE', `${options} ${verb} not for --dataset ${named}`, {
      hint: `${uses.join(' ')} Name another data set, or leave out what this one does not use.`,
    });
  }
  const needs = `${options} need${unused.length === 1 ? 's' : ''} --dataset`;
  const instead = source === undefined ? '' : ` Without one, ${source} is taken.`;
  return new FlowstepError('USAGE', needs, { hint: `${uses.join(' ')}${instead}` });
}
