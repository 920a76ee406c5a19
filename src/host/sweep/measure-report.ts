/** @file The numbers of a report that a node of the workflow made, as figures of a row. */
import { FlowstepError } from '../../errors.ts';
import type { Figures } from '../../trainer/metrics/figures.ts';
import type { ReportMeasure } from './measure-schema.ts';

/** All finite numbers of the report by path (`scores.fid`), or those that are asked for. Throws UNKNOWN_KEY and FILE_FORMAT. */
export function measureReport(report: unknown, { report: node, metrics }: ReportMeasure): Figures {
  const numbers = Object.fromEntries(numbersIn(parsed(report, node), ''));
  const wanted = metrics ?? Object.keys(numbers);
  return Object.fromEntries(
    wanted.map((path) => {
      const value = numbers[path];
      if (value !== undefined) return [path, { value }];
      throw new FlowstepError('UNKNOWN_KEY', `the report of node ${node} has no number ${path}`, {
        node,
        hint: `It has ${Object.keys(numbers).join(', ') || 'none at all'}.`,
      });
    }),
  );
}

/** Reports travel as JSON values or as JSON text. */
function parsed(report: unknown, node: string): unknown {
  if (typeof report !== 'string') return report;
  try {
    return JSON.parse(report);
  } catch (cause) {
    throw new FlowstepError('FILE_FORMAT', `the report of node ${node} is not JSON`, {
      node,
      cause,
    });
  }
}

function* numbersIn(value: unknown, path: string): Generator<[path: string, value: number]> {
  if (typeof value === 'number' && Number.isFinite(value)) yield [path, value];
  if (typeof value !== 'object' || value === null) return;
  for (const [key, part] of Object.entries(value)) {
    yield* numbersIn(part, path === '' ? key : `${path}.${key}`);
  }
}
