/** @file The options of every command as Markdown, made from the program itself: the second half of docs/cli.md. */
import type { Argument, Command, Option } from 'commander';
import { buildProgram } from '../../src/cli.ts';
import { createLog } from '../../src/log.ts';

/** The program; nothing of it is run. */
export function theProgram(): Command {
  return buildProgram({
    stdout: { write: () => undefined },
    log: createLog({ write: () => undefined }),
    isTerminal: false,
    environment: {},
    signal: new AbortController().signal,
  });
}

/** A heading and a table for each command, and for those below it. */
export function commandReference(program: Command): string {
  return program.commands
    .flatMap((command) => [
      commandText(command, command.name()),
      ...command.commands.map((below) => commandText(below, `${command.name()} ${below.name()}`)),
    ])
    .join('\n\n');
}

function commandText(command: Command, name: string): string {
  const parts = command.registeredArguments.map(argumentText).join(' ');
  const usage = ['flowstep', name, parts, '[options]'].filter(Boolean).join(' ');
  const rows = command.options.filter((option) => !option.hidden).map(row);
  return [
    `### ${name}`,
    command.description(),
    '',
    `\`${usage}\``,
    '',
    '| option | meaning |',
    '|---|---|',
    ...rows,
  ].join('\n');
}

function argumentText(argument: Argument): string {
  return `<${argument.name()}${argument.variadic ? '...' : ''}>`;
}

function row(option: Option): string {
  const choices = option.argChoices ? ` (one of: ${option.argChoices.join(', ')})` : '';
  const value: unknown = option.defaultValue;
  const start =
    value === undefined || (Array.isArray(value) && value.length === 0)
      ? ''
      : ` (default: ${value})`;
  const needed = option.mandatory ? ' (required)' : '';
  const text = `${option.description}${start}${choices}${needed}`;
  return `| \`${option.flags.replaceAll('|', '\\|')}\` | ${text.replaceAll('|', '\\|')} |`;
}
