/** @file `flowstep verify identity`: the theory behind FGM, measured on this machine. */
import { type Command, InvalidArgumentError } from 'commander';
import { type IdentityReport, measureIdentity } from '../trainer/theory/identity.ts';
import type { OnlineGap } from '../trainer/theory/online-gap.ts';
import { SETTING_NAMES, type SettingName } from '../trainer/theory/settings.ts';
import type { Gap } from '../trainer/theory/statistics.ts';
import { answer, JSON_HELP } from './answer.ts';
import { addEngineOptions } from './engine-options.ts';
import { examples, type Io } from './io.ts';
import { wholeNumber } from './options.ts';
import { CommandFailed } from './report-error.ts';

interface IdentityOptions {
  readonly settings?: readonly SettingName[];
  readonly online: boolean;
  readonly seed: number;
  readonly json?: boolean;
}

/** Adds the command below `flowstep verify`, where a file of this name is written `./identity`. */
export function addIdentityCommand(verify: Command, io: Io): void {
  addEngineOptions(verify.command('identity'))
    .description(
      'Measure the theory: the Flow Product Identity, and that the gradient of L1 + L2 is that of the intractable objective.',
    )
    .option(
      '--settings <LIST>',
      `which, separated by commas, of ${SETTING_NAMES.join(', ')} (default: all)`,
      settingList,
    )
    .option('--no-online', 'leave out the gap of a learned online flow')
    .option('--seed <S>', 'of weights and random numbers', wholeNumber(0, 2 ** 31), 0)
    .option('--json', JSON_HELP)
    .addHelpText(
      'before',
      examples(
        'flowstep verify identity',
        'flowstep verify identity --settings gaussian,mixture --no-online --json',
      ),
    )
    .action(async (_: unknown, command: Command) => {
      // --json may also stand before `identity`, where it is an option of `verify`.
      const options = command.optsWithGlobals<IdentityOptions>();
      let isHeld = false;
      await answer(
        io,
        options.json,
        async () => {
          const report = await measureIdentity({
            ...options,
            signal: io.signal,
            onStage: (what) => io.log.status(what),
          });
          io.log.status('');
          isHeld = report.verdict === 'holds';
          return { ...report, ok: isHeld };
        },
        reportLines,
      );
      if (!isHeld) throw new CommandFailed();
    });
}

function reportLines({ settings, online, verdict }: IdentityReport): string[] {
  return [
    ...settings.flatMap(({ name, title, points, rows }) => [
      `${name}: ${title}, ${points} points`,
      `  ${'what'.padEnd(WHAT)}${'expected'.padStart(10)}${'found'.padStart(10)}  gap with 95 % interval`,
      ...rows.map((row) => `  ${row.what.padEnd(WHAT)}${gapText(row)}`),
      '',
    ]),
    ...(online ? onlineLines(online) : []),
    `verdict: ${verdict}`,
  ];
}

/** Width of the column that says what a row is about. */
const WHAT = 24;

function gapText({ expected, found, gap, margin, verdict }: Gap): string {
  const numbers = [expected, found].map((value) => value.toFixed(4).padStart(10)).join('');
  return `${numbers}  ${percent(gap)} +- ${(100 * margin).toFixed(3)} %  ${verdict}`;
}

function onlineLines(gaps: readonly OnlineGap[]): string[] {
  return [
    'mlp with a learned online flow, which starts from the teacher (no bound)',
    '  updates    gap of the gradient    cosine',
    ...gaps.map(({ steps, gap, cosine }) => {
      const columns = [String(steps).padStart(7), `${(100 * gap).toFixed(2)} %`.padStart(19)];
      return `  ${columns.join('    ')}    ${cosine.toFixed(5)}`;
    }),
    '',
  ];
}

function percent(share: number): string {
  return (100 * share).toFixed(3).padStart(7);
}

function settingList(text: string): SettingName[] {
  return text.split(',').map((word) => {
    const setting = SETTING_NAMES.find((name) => name === word.trim());
    if (setting) return setting;
    throw new InvalidArgumentError(`"${word}" is not one of ${SETTING_NAMES.join(', ')}.`);
  });
}
