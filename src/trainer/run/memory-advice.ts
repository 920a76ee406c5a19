/** @file What to do when a distillation needs more memory than there is, with figures. */
import { FlowstepError } from '../../errors.ts';
import { textWidths } from '../nn/config.ts';
import { LoraConfigSchema } from '../nn/lora.ts';
import { engine } from '../runtime/engine.ts';
import type { DistillJob } from './distill-job.ts';
import { type PlanOptions, planDistillation } from './plan.ts';

const RANK = 16;
/** What saves less than this is not advised. */
const WORTH_IT = 0.95;
const GIB = 2 ** 30;

/** Runs `work`; an OUT_OF_MEMORY of it gets the plan's figures of the job, and of what would take less. */
export async function withMemoryAdvice<T>(job: DistillJob, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const message = lackOf(error);
    if (message === undefined) throw error;
    throw new FlowstepError('OUT_OF_MEMORY', message, { cause: error, hint: memoryAdvice(job) });
  }
}

/** What an error says of memory; undefined for errors of other kinds. */
function lackOf(error: unknown): string | undefined {
  if (error instanceof FlowstepError) {
    return error.code === 'OUT_OF_MEMORY' ? error.message : undefined;
  }
  const isLack =
    error instanceof RangeError &&
    /allocation failed|Invalid typed array length/.test(error.message);
  return isLack ? 'there is not enough memory for what the network is fed' : undefined;
}

/** One line of what the job takes at its peak, and what it would with a smaller batch, recompute or a LoRA. */
export function memoryAdvice(job: DistillJob): string {
  const { batch } = job;
  const now = planOptionsOf(job);
  const lora = LoraConfigSchema.parse({ rank: RANK, alpha: RANK });
  const half = batch >> 1;
  const less: Readonly<Record<string, PlanOptions>> = {
    ...(half > 0 && { [`batch ${half}`]: { ...now, batch: half } }),
    ...(!job.recompute && { recompute: { ...now, recompute: true } }),
    ...(!job.lora && { [`a LoRA of rank ${RANK}`]: { ...now, lora } }),
  };
  const peak = peakOf(now);
  const offers = Object.entries(less).flatMap(([name, options]) => {
    const bytes = peakOf(options);
    return bytes !== undefined && peak !== undefined && bytes < WORTH_IT * peak
      ? [`${name} ${gib(bytes)}`]
      : [];
  });
  const takes = peak === undefined ? '' : `This distillation takes about ${gib(peak)}. `;
  const instead = offers.length > 0 ? `Instead: ${offers.join(', ')}. ` : '';
  return `${takes}${instead}\`flowstep plan\` tells more; close other programs that use the device.`;
}

function planOptionsOf(job: DistillJob): PlanOptions {
  const { network } = job.teacher.info;
  return {
    network,
    batch: job.batch,
    updates: job.online.updates,
    tokens: job.prompts?.tokens ?? textWidths(network)?.tokens ?? 0,
    lora: job.lora,
    guided: job.guidance !== undefined,
    recompute: job.recompute,
    isWhole: engine().memory !== undefined,
  };
}

/** Undefined for what cannot be planned, such as adapters on a network that has no place for them. */
function peakOf(options: PlanOptions): number | undefined {
  try {
    return planDistillation(options).bytes.peak;
  } catch {
    return undefined;
  }
}

function gib(bytes: number): string {
  return `${Number((bytes / GIB).toPrecision(2))} GiB`;
}
