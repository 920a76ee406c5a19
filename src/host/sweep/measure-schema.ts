/** @file What a sweep can measure of a run, as its file says it. */
import { z } from 'zod';
import { PICTURE_METRICS, POINT_METRICS } from '../../trainer/metrics/figures.ts';

/** One draw of 10,000 has a spread of 0.0004 in energy distance, as much as two good students differ by. */
const DRAWS = 10;
const SAMPLES = 10_000;
/** Of the Euler solver, for models that are no students. */
const SOLVER_STEPS = 50;

/** Samples of a model against points in the plane. */
export const PointsMeasureSchema = z.strictObject({
  /** Node that gives the model: id, title or type. */
  model: z.string().min(1),
  /** Node that gives the data; left out = the only Flow Dataset there is. */
  data: z.string().min(1).optional(),
  metrics: z.array(z.enum(POINT_METRICS)).min(1).default(['energy-distance', 'modes-covered']),
  /** Independent draws that are averaged, and the points of each. */
  draws: z.int().min(1).max(1000).default(DRAWS),
  samples: z.int().min(2).max(100_000).default(SAMPLES),
  /** Euler steps of a teacher; students take theirs. */
  steps: z.int().min(1).max(10_000).default(SOLVER_STEPS),
  /** Start of the columns' names; left out = the model. */
  as: z.string().min(1).optional(),
});
export type PointsMeasure = z.infer<typeof PointsMeasureSchema>;

/** Samples of a model against pictures, as a network sees both. */
export const PicturesMeasureSchema = z.strictObject({
  model: z.string().min(1),
  data: z.string().min(1).optional(),
  /** .onnx file below the models folder, with its declaration. */
  extractor: z.string().min(1),
  metrics: z.array(z.enum(PICTURE_METRICS)).min(1).default(['fid', 'precision', 'recall']),
  samples: z.int().min(2).max(100_000).default(SAMPLES),
  steps: z.int().min(1).max(10_000).default(SOLVER_STEPS),
  as: z.string().min(1).optional(),
});
export type PicturesMeasure = z.infer<typeof PicturesMeasureSchema>;

/** The numbers of a report that a node of the workflow makes. */
export const ReportMeasureSchema = z.strictObject({
  /** Node with an output `report`: id, title or type. */
  report: z.string().min(1),
  /** Paths of numbers in it, such as `scores.fid`; left out = all. */
  metrics: z.array(z.string().min(1)).min(1).optional(),
  as: z.string().min(1).optional(),
});
export type ReportMeasure = z.infer<typeof ReportMeasureSchema>;

export type Measure = PointsMeasure | PicturesMeasure | ReportMeasure;

/** Told apart by what they name, so that messages are about the one that is meant. */
export const MeasureSchema = z.unknown().transform((given, context): Measure => {
  const has = (key: string) => typeof given === 'object' && given !== null && key in given;
  const schema = has('report')
    ? ReportMeasureSchema
    : has('extractor')
      ? PicturesMeasureSchema
      : PointsMeasureSchema;
  const parsed = schema.safeParse(given);
  if (parsed.success) return parsed.data;
  for (const { message, path } of parsed.error.issues) {
    context.addIssue({ code: 'custom', message, path });
  }
  return z.NEVER;
});

/** A measured number, with its deviation over draws or parts where there are several. */
export const FigureSchema = z.strictObject({
  value: z.number(),
  std: z.number().optional(),
});
