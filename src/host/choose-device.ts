/** @file `--device auto`: the first device that computes right and faster than the processor, and why in one line. */
import { asFlowstepError } from '../errors.ts';
import { type DeviceTrial, trainsAlike } from '../trainer/run/device-trial.ts';
import type { Device } from '../trainer/runtime/library.ts';

/** Tries a device where a crash of its driver does no harm; rejects with why it cannot be used. */
export type Probe = (device: Device) => Promise<DeviceTrial>;

export interface DeviceChoice {
  readonly device: Device;
  /** Why, for people; without a full stop. */
  readonly why: string;
}

/** In the order of preference. */
const GRAPHICS = ['cuda', 'webgpu'] as const satisfies readonly Device[];

/** Tries one device after the other. Rejects with nothing: the processor is what is left. */
export async function chooseDevice(probe: Probe): Promise<DeviceChoice> {
  const refused: string[] = [];
  let processor: DeviceTrial | undefined;
  for (const device of GRAPHICS) {
    try {
      const trial = await probe(device);
      // The processor is only tried where there is something to compare.
      processor ??= await probe('cpu');
      const times = processor.productMs / trial.productMs;
      const problem = problemOf(trial, processor, times);
      if (problem === undefined) {
        const faster = times < 10 ? times.toFixed(1) : times.toFixed(0);
        return {
          device,
          why: [...refused, `${device} multiplies ${faster} times as fast as cpu`].join('; '),
        };
      }
      refused.push(`${device} ${problem}`);
    } catch (error) {
      refused.push(`${device}: ${asFlowstepError(error).message}`);
    }
  }
  return { device: 'cpu', why: refused.join('; ') };
}

function problemOf(trial: DeviceTrial, processor: DeviceTrial, times: number): string | undefined {
  if (!trainsAlike(trial.figures, processor.figures)) return 'trains wrong';
  // A driver may draw, and compute, on the processor.
  if (times <= 1) {
    return `takes ${trial.productMs.toFixed(0)} ms for a product, cpu ${processor.productMs.toFixed(0)}`;
  }
  return undefined;
}
