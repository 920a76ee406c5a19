/** @file What is asked of a sampler, and the steps that it takes for it. */
import { FlowstepError } from '../../errors.ts';
import type { Guidance } from '../flow/guidance.ts';
import { classCount, type NetworkConfig, sampleShape, textWidths } from '../nn/config.ts';
import { sameShape, type Tensor } from '../tensor.ts';
import { type ConditionRows, requireWidths, type TextRows } from './conditions.ts';
import type { FlowModel, StudentSettings } from './model.ts';

export const SOLVERS = ['one-step', 'euler', 'heun'] as const;
export type Solver = (typeof SOLVERS)[number];

/** Classes or texts of the samples: networks with classes take no text, and those with text need one. */
export interface SampleRequest extends ConditionRows {
  readonly solver: Solver;
  /** Steps of Euler or Heun. Of a student: how far it goes on its grid; left out = to the end. */
  readonly steps?: number;
  /** [count, ...sample], standard normal. */
  readonly noise: Tensor<'float32'>;
  /** Goes `scale` times as far from the velocity under `negative` (left out: no condition) as its own condition goes. */
  readonly guidance?: Guidance & { readonly negative?: ConditionRows };
  /** For students that add fresh noise between steps: like `noise`, one for each step but the first. */
  readonly freshNoise?: readonly Tensor<'float32'>[];
}

/** A step from t to t - dt; then, for students that do so, to time `to` by adding fresh noise. */
export interface Stride {
  readonly t: number;
  readonly dt: number;
  readonly fresh?: { readonly to: number; readonly noise: Float32Array };
}

/** Equal steps from t = 1 to 0. */
export function evenStrides(steps: number): Stride[] {
  return Array.from({ length: steps }, (_, k) => ({ t: (steps - k) / steps, dt: 1 / steps }));
}

/**
 * What a student does on the first `times` of its grid, when it then stops at time `end`: the next time of
 * the grid (to be trained there) or 0. `freshNoise` has one vector for each transition, when it uses any.
 */
export function studentStrides(
  times: readonly number[],
  end: number,
  transition: StudentSettings['transition'],
  freshNoise: readonly Float32Array[] = [],
): Stride[] {
  return times.map((t, k) => {
    const next = times[k + 1] ?? end;
    if (transition === 'euler' || next === 0) return { t, dt: t - next };
    return { t, dt: t, fresh: { to: next, noise: freshNoise[k]! } };
  });
}

/** Number of samples asked for; throws for a one-step request on a model that is no student, wrong shapes, labels and texts. */
export function checkRequest(model: FlowModel, request: SampleRequest): number {
  const { network, role, student } = model.info;
  const shape = sampleShape(network);
  const [count = 0, ...rest] = request.noise.shape;
  if (count < 1 || !sameShape(rest, shape)) {
    throw new FlowstepError(
      'SHAPE_MISMATCH',
      `noise of [${request.noise.shape.join(', ')}] does not fit samples of [${shape.join(', ')}]`,
    );
  }
  if (request.solver === 'one-step' && !student) {
    throw new FlowstepError(
      'VALUE_OUT_OF_RANGE',
      `the model is a ${role}, not a one-step student`,
      {
        hint: 'sample it with euler or heun, or distil it first',
        field: 'solver',
      },
    );
  }
  checkSteps(request, student);
  checkCondition(network, request, count);
  if (request.guidance?.negative) checkCondition(network, request.guidance.negative, count);
  return count;
}

function checkSteps(request: SampleRequest, student: StudentSettings | undefined): void {
  const most =
    request.solver === 'one-step' ? (student?.grid.length ?? 1) : Number.MAX_SAFE_INTEGER;
  const { steps = most } = request;
  if (!Number.isInteger(steps) || steps < 1 || steps > most) {
    const bounds =
      request.solver === 'one-step' ? `a whole number from 1 to ${most}` : 'a whole number above 0';
    throw new FlowstepError('VALUE_OUT_OF_RANGE', `steps must be ${bounds}, not ${steps}`, {
      field: 'steps',
      ...(request.solver === 'one-step' && { hint: `The student was trained for ${most}.` }),
    });
  }
  const transitions =
    student?.transition === 'fresh' && request.solver === 'one-step' ? steps - 1 : 0;
  const noises = request.freshNoise ?? [];
  if (noises.length < transitions || noises.some((n) => !sameShape(n.shape, request.noise.shape))) {
    throw new FlowstepError(
      'SHAPE_MISMATCH',
      `the student adds fresh noise ${transitions} times: as many tensors like the noise are needed`,
      { field: 'freshNoise' },
    );
  }
}

function checkCondition(network: NetworkConfig, rows: ConditionRows, count: number): void {
  checkLabels(network, rows.labels, count);
  checkText(network, rows.text, count);
}

function checkText(network: NetworkConfig, text: TextRows | undefined, count: number): void {
  const takesText = textWidths(network);
  if (!takesText && !text) return;
  if (!takesText || !text) {
    throw new FlowstepError(
      'WORKFLOW_INVALID',
      takesText ? 'the model takes text, and there is none' : 'the model takes no text',
      {
        field: 'conditioning',
        hint: takesText
          ? "Connect the CONDITIONING of the model's text encoders, or Flow Prompt Set (--prompts)."
          : 'Leave the conditioning out.',
      },
    );
  }
  const [rows, , contextWidth = 0] = text.context.shape;
  const [pooledRows, pooledWidth = 0] = text.pooled.shape;
  requireWidths('the text', contextWidth, pooledWidth, takesText);
  if ((rows === 1 || rows === count) && (pooledRows === 1 || pooledRows === count)) return;
  throw new FlowstepError(
    'SHAPE_MISMATCH',
    `there are ${rows} texts with ${pooledRows} pooled vectors for ${count} samples`,
    { field: 'conditioning', hint: 'Give one text for all samples, or one for each.' },
  );
}

function checkLabels(network: NetworkConfig, labels: Int32Array | undefined, count: number): void {
  if (!labels) return;
  const classes = classCount(network);
  if (labels.length !== count || labels.some((l) => l < -1 || l >= classes)) {
    throw new FlowstepError(
      'VALUE_OUT_OF_RANGE',
      classes === 0
        ? 'the model was trained without classes'
        : `labels must be ${count} numbers from 0 to ${classes - 1}, or -1`,
      { field: 'labels' },
    );
  }
}
