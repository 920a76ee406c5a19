/** @file Training runs to their end, with what they told on the way. */
import type { TrainEvent } from '../../src/trainer/run/events.ts';

/** Takes all events; `seen` is called after each. */
export async function runToEnd<R>(
  run: AsyncGenerator<TrainEvent, R>,
  seen?: (event: TrainEvent) => void,
): Promise<{ events: TrainEvent[]; result: R }> {
  const events: TrainEvent[] = [];
  for (;;) {
    const { done, value } = await run.next();
    if (done) return { events, result: value };
    events.push(value);
    seen?.(value);
  }
}

/** The bits of a vector, so that equal means equal to the last one. */
export function bitsOf({ buffer, byteOffset, length }: Float32Array): Uint32Array {
  return new Uint32Array(buffer, byteOffset, length).slice();
}
