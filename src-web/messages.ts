/** @file What the pack's Python half sends, checked: the page may be newer or older than the server. */

/** Values of the metrics by name; null where one was not finite. */
export type Metrics = Readonly<Record<string, number | null>>;

export interface Point {
  readonly step: number;
  readonly metrics: Metrics;
}

/** How a run stands. */
export interface Standing {
  readonly steps: number;
  readonly stepsPerSecond: number | undefined;
  readonly etaSeconds: number | undefined;
}

export interface RunUpdate {
  /** Execution id: `4`, or `7:4` for node 4 in the subgraph that node 7 stands for. */
  readonly node: string;
  readonly promptId: string;
  readonly points: readonly Point[];
  readonly standing: Standing;
}

/** The event `flowstep.metrics`; undefined where it is not one. */
export function readMetricsEvent(detail: unknown): RunUpdate | undefined {
  if (!isRecord(detail) || !isId(detail['node'])) return undefined;
  const point = readPoint(detail);
  return point && readUpdate(String(detail['node']), [point], detail);
}

/** The answer of /flowstep/history: the events of the last run by node; entries that are none are left out. */
export function readHistory(answer: unknown): RunUpdate[] {
  if (!isRecord(answer)) return [];
  return Object.entries(answer).flatMap(([node, entry]) => {
    const events = Array.isArray(entry) ? entry.filter(isRecord) : [];
    const points = events.flatMap((event) => readPoint(event) ?? []);
    return readUpdate(node, points, events.at(-1) ?? {}) ?? [];
  });
}

/** The prompt that an event of ComfyUI's execution is about. */
export function readPromptId(detail: unknown): string | undefined {
  const id = isRecord(detail) ? detail['prompt_id'] : undefined;
  return typeof id === 'string' ? id : undefined;
}

function readUpdate(
  node: string,
  points: readonly Point[],
  event: Readonly<Record<string, unknown>>,
): RunUpdate | undefined {
  const promptId = readPromptId(event);
  const last = points.at(-1);
  if (promptId === undefined || last === undefined) return undefined;
  const standing = {
    steps: readNumber(event['steps']) ?? last.step,
    stepsPerSecond: readNumber(event['stepsPerSecond']),
    etaSeconds: readNumber(event['etaSeconds']),
  };
  return { node, promptId, points, standing };
}

function readPoint(value: unknown): Point | undefined {
  if (!isRecord(value) || !isRecord(value['metrics'])) return undefined;
  const step = readNumber(value['step']);
  if (step === undefined) return undefined;
  const metrics = Object.entries(value['metrics']).map(
    ([name, metric]) => [name, readNumber(metric) ?? null] as const,
  );
  return { step, metrics: Object.fromEntries(metrics) };
}

function readNumber(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
}

function isId(value: unknown): value is string | number {
  return typeof value === 'string' || typeof value === 'number';
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
