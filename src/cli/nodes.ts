/** @file `flowstep nodes`: lists the nodes. */
import type { Command } from 'commander';
import type { InputDefinition, NodeDefinition } from '../bridge/protocol/node-definition.ts';
import { allNodes } from '../nodes/all-nodes.ts';
import { examples, type Io } from './io.ts';

/** Adds the command to the program. */
export function addNodesCommand(program: Command, io: Io): void {
  program
    .command('nodes')
    .description('List the nodes that workflows can use, with their inputs and outputs.')
    .option('--json', 'print the definitions as JSON')
    .addHelpText('before', examples('flowstep nodes', 'flowstep nodes --json'))
    .action((options: { json?: boolean }) => {
      const definitions = allNodes().list();
      io.stdout.write(
        options.json
          ? `${JSON.stringify(definitions, null, 2)}\n`
          : `${definitions.map(nodeText).join('\n\n')}\n`,
      );
    });
}

function nodeText(node: NodeDefinition): string {
  return [
    `${node.id}  ${node.displayName}`,
    `  ${node.description}`,
    ...node.inputs.map((input) => `  in   ${input.name}  ${valuesText(input)}`),
    ...node.outputs.map((output) => `  out  ${output.name}  ${output.type}`),
  ].join('\n');
}

function valuesText(input: InputDefinition): string {
  const type = input.options ? input.options.join(' | ') : input.type;
  const range = input.min === undefined ? '' : ` ${input.min}..${input.max}`;
  if (input.required) return `${type}${range}, required`;
  return input.default === undefined
    ? `${type}${range}, optional`
    : `${type}${range}, default ${JSON.stringify(input.default)}`;
}
