/** @file Loss Plot: the statistics of a run as a picture. */
import { z } from 'zod';
import { FlowstepError } from '../errors.ts';
import { readStats, type StatsLine } from '../trainer/run/stats.ts';
import { defineNode } from './define-node.ts';
import { FlowReportSchema, ImageSchema } from './handles.ts';
import { toImageTensor } from './pictures/picture.ts';
import { linePlot } from './pictures/plots.ts';
import { openFile } from './root-files.ts';

export const lossPlotNode = defineNode({
  id: 'FlowstepLossPlot',
  displayName: 'Loss Plot',
  category: 'flowstep/training',
  description: 'Draws the losses of a run over its steps.',
  searchAliases: ['loss curve', 'chart', 'graph', 'training log'],
  inputs: z.object({
    report: FlowReportSchema.meta({ tooltip: 'From Train Flow Teacher or FGM Distill.' }),
    metrics: z.string().min(1).default('loss/').meta({
      tooltip: 'Draws the metrics whose names start with this, such as "loss/" or "time/".',
    }),
    log_scale: z.boolean().default(false).meta({
      tooltip: 'Logarithmic vertical axis; values that are not positive are left out.',
    }),
  }),
  outputs: {
    image: ImageSchema.meta({ tooltip: 'The plot.' }),
  },
  async execute({ report, metrics, log_scale }, context) {
    const stats = await readStats(await openFile(context.roots, report));
    const names = namesOf(stats, metrics);
    const picture = linePlot({
      title: report.title,
      x: stats.map((line) => line.step),
      series: names.map((name) => ({
        name,
        values: stats.map((line) => line.metrics[name] ?? null),
      })),
      xLabel: 'step',
      logY: log_scale,
    });
    return { outputs: { image: toImageTensor(picture) } };
  },
});

function namesOf(stats: readonly StatsLine[], start: string): string[] {
  const all = [...new Set(stats.flatMap((line) => Object.keys(line.metrics)))];
  const names = all.filter((name) => name.startsWith(start));
  if (names.length > 0) return names;
  throw new FlowstepError('UNKNOWN_KEY', `the run has no metric that starts with ${start}`, {
    field: 'metrics',
    hint: `It has ${all.join(', ') || 'none at all'}.`,
  });
}
