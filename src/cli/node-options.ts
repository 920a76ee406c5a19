/** @file The inputs of a node as options of a command, so that nothing about them is written twice. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { type InputDefinition, isWidgetType } from '../bridge/protocol/node-definition.ts';
import { checkValue } from '../nodes/check-inputs.ts';
import type { FlowNode } from '../nodes/define-node.ts';

export interface NodeOptionsRule {
  readonly node: FlowNode;
  /** Over the options in the help. */
  readonly heading: string;
  /** Before each option's name, as in --online-updates. */
  readonly prefix?: string;
  /** By input, how its option differs from it. */
  readonly changes?: Readonly<Record<string, OptionChange>>;
}

export interface OptionChange {
  /** The option's name. */
  readonly name?: string;
  /** What it does, in place of the input's tooltip. */
  readonly text?: string;
  /** What the help says is taken when it is not given. */
  readonly usual?: string;
  /** A choice of the input that the command cannot offer. */
  readonly without?: string;
}

/** An option that was given, `--latents` say, and the input that it is for. */
export interface GivenOption {
  readonly input: string;
  readonly option: string;
}

/** The options that one node gave a command. */
export interface NodeOptions {
  readonly node: FlowNode;
  /** The node's widget inputs: what was given, otherwise what is `usual` here, otherwise their defaults. */
  values(
    given: Readonly<Record<string, unknown>>,
    usual?: Readonly<Record<string, unknown>>,
  ): Record<string, unknown>;
  /** The options that were given. */
  given(given: Readonly<Record<string, unknown>>): GivenOption[];
  /** The option of an input, `--latents` say. */
  optionOf(input: string): string;
}

/** Adds an option for each widget input; inputs that only a link can give have none. */
export function addNodeOptions(command: Command, rule: NodeOptionsRule): NodeOptions {
  const { node, heading, prefix = '', changes = {} } = rule;
  const inputs = node.definition.inputs.filter(({ type }) => isWidgetType(type));
  const options = inputs.map((input) => {
    const change = changes[input.name] ?? {};
    const name = prefix + (change.name ?? input.name).replaceAll('_', '-');
    const option = nodeOption(name, input, change, node).helpGroup(`${heading}:`);
    command.addOption(option);
    return { input, option };
  });
  const isGiven = (given: Readonly<Record<string, unknown>>, { option }: (typeof options)[0]) =>
    given[option.attributeName()] !== undefined;
  return {
    node,
    values: (given, usual = {}) =>
      Object.fromEntries(
        options
          .map(({ input: { name, default: own }, option }) => [
            name,
            given[option.attributeName()] ?? usual[name] ?? own,
          ])
          .filter(([, value]) => value !== undefined),
      ),
    given: (given) =>
      options
        .filter((option) => isGiven(given, option))
        .map(({ input, option }) => ({ input: input.name, option: `--${option.name()}` })),
    optionOf: (name) => `--${options.find(({ input }) => input.name === name)!.option.name()}`,
  };
}

/** What stands for the value in the help. */
const PLACEHOLDERS: Readonly<Record<string, string>> = {
  INT: '<N>',
  FLOAT: '<X>',
  STRING: '<TEXT>',
  COMBO: '<NAME>',
  BOOLEAN: '<true|false>',
};

/** The default stands in the help alone: whether an option was given must stay known. */
function nodeOption(
  name: string,
  input: InputDefinition,
  { text = input.tooltip, usual, without }: OptionChange,
  node: FlowNode,
): Option {
  const { type, min, max, options } = input;
  const range = min === undefined ? [] : [`${min} to ${max}`];
  const start = [usual ?? input.default].filter((value) => value !== undefined && value !== '');
  const notes = [...range, ...start.map((value) => `default: ${value}`)].join('; ');
  const help = notes === '' ? text : `${text} (${notes})`;
  const option = new Option(`--${name} ${PLACEHOLDERS[type] ?? '<VALUE>'}`, help);
  return options
    ? option.choices(options.filter((choice) => choice !== without))
    : option.argParser(parserOf(input, node));
}

function parserOf(input: InputDefinition, node: FlowNode): (text: string) => unknown {
  return (text) => {
    const value = readValue(text, input.type);
    const [problem] = checkValue(node.inputs.shape[input.name]!, value);
    if (problem === undefined) return value;
    throw new InvalidArgumentError(`It ${problem}.`);
  };
}

function readValue(text: string, type: string): unknown {
  switch (type) {
    case 'INT':
    case 'FLOAT': {
      const number = text.trim() === '' ? Number.NaN : Number(text);
      if (!Number.isFinite(number)) throw new InvalidArgumentError('It must be a number.');
      return number;
    }
    case 'BOOLEAN':
      if (text !== 'true' && text !== 'false') {
        throw new InvalidArgumentError('It must be true or false.');
      }
      return text === 'true';
    default:
      return text;
  }
}
