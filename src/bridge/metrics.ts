/** @file Numbers about the server, as Prometheus reads them. */
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { Executions, Outcome } from './session/executions.ts';

export interface ServerMetrics {
  readonly registry: Registry;
  ended(outcome: Outcome): void;
  received(bytes: number): void;
  sent(bytes: number): void;
}

/** `sockets` counts the open ones when the numbers are asked for. */
export function serverMetrics(executions: Executions, sockets: () => number): ServerMetrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  const gauge = (name: string, help: string, value: () => number) =>
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(value());
      },
    });
  gauge('flowstep_executions_waiting', 'Executions in the queue.', () => executions.counts.waiting);
  gauge('flowstep_executions_running', 'Executions that run.', () => executions.counts.running);
  gauge(
    'flowstep_executions_kept',
    'Executions that have ended and whose result is kept for their client.',
    () => executions.counts.ended,
  );
  gauge('flowstep_sockets', 'Open websockets.', sockets);
  const outcomes = new Counter({
    name: 'flowstep_executions_total',
    help: 'Executions that have ended, by outcome.',
    labelNames: ['outcome'],
    registers,
  });
  // So that a rate can be formed from the first one on.
  for (const outcome of ['result', 'error', 'interrupted']) outcomes.inc({ outcome }, 0);
  const bytes = (direction: string) =>
    new Counter({
      name: `flowstep_${direction}_bytes_total`,
      help: `Bytes of websocket messages ${direction}.`,
      registers,
    });
  const received = bytes('received');
  const sent = bytes('sent');
  return {
    registry,
    ended: (outcome) => outcomes.inc({ outcome }),
    received: (count) => received.inc(count),
    sent: (count) => sent.inc(count),
  };
}
