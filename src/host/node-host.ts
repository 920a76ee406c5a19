/** @file Runs single nodes for whoever hosts the graph elsewhere: the bridge's view of the registry. */
import type {
  NodeEvents,
  NodeHost,
  NodeOutcome,
  NodeRequest,
} from '../bridge/protocol/node-host.ts';
import { FlowstepError } from '../errors.ts';
import type { FlowNode, NodeResult } from '../nodes/define-node.ts';
import type { NodeContext, Roots } from '../nodes/node-context.ts';
import type { NodeRegistry } from '../nodes/registry.ts';
import type { StepEvent } from '../trainer/run/events.ts';
import { didYouMean } from './suggest.ts';

/** What a node has told, one below the other. */
const MAX_TEXTS = 5;

/** The nodes of `registry`, in the folders `roots`; `device` is told by those that compute. */
export function nodeHost(registry: NodeRegistry, roots: Roots, device?: string): NodeHost {
  async function at<Result>(
    { node, signal }: NodeRequest,
    events: NodeEvents,
    act: (kind: FlowNode, context: NodeContext) => Promise<Result>,
  ): Promise<Result> {
    const kind = registry.find(node);
    if (!kind) throw unknownNode(node, registry);
    try {
      return await act(kind, contextFor(events, { roots, signal, device }));
    } catch (thrown) {
      throw atNode(node, thrown);
    }
  }
  return {
    definitions: () => registry.list(),
    execute: (request, events) =>
      at(request, events, async (kind, context) => {
        const outcome = outcomeOf(await kind.run(request.inputs, context));
        if (outcome.files.length > 0) context.onNotice?.(`Wrote ${outcome.files.join(', ')}`);
        return outcome;
      }),
    fingerprint: (request, events) =>
      at(request, events, (kind, context) => kind.fingerprint(request.inputs, context)),
  };
}

function contextFor(
  events: NodeEvents,
  given: Pick<NodeContext, 'roots' | 'signal' | 'device'>,
): NodeContext {
  const told: string[] = [];
  /** A page shows the last text that it is sent. */
  const tell = (line: string) => events.text([...told.slice(1 - MAX_TEXTS), line].join('\n'));
  return {
    ...given,
    onProgress(event) {
      tellStep(event, events);
      if (event.counts !== undefined) tell(`${event.counts} ${event.step}/${event.steps}`);
    },
    onNotice(message) {
      tell(message);
      told.push(message);
    },
    onPreview: ({ step, png, width, height }) =>
      events.preview({ step, mime: 'image/png', width, height, bytes: png }),
  };
}

function tellStep(event: StepEvent, events: NodeEvents): void {
  const { step, steps, stepsPerSecond, etaSeconds, counts, metrics } = event;
  const what = counts === undefined ? {} : { counts };
  events.progress({ step, steps, stepsPerSecond, etaSeconds, ...what });
  if (Object.keys(metrics).length > 0) events.metrics({ step, metrics });
}

function outcomeOf({ outputs, blocked = {}, files = [] }: NodeResult): NodeOutcome {
  const given = Object.entries(outputs).filter(([, value]) => value !== undefined);
  const reasons = Object.entries(blocked).filter(
    (entry): entry is [string, string] => entry[1] !== undefined,
  );
  return { outputs: Object.fromEntries(given), blocked: Object.fromEntries(reasons), files };
}

function unknownNode(node: string, registry: NodeRegistry): FlowstepError {
  const names = registry.list().map((definition) => definition.id);
  const guess = didYouMean(node, names);
  return new FlowstepError('UNKNOWN_NODE', `there is no node ${JSON.stringify(node)}${guess}`, {
    node,
    hint: 'flowstep nodes lists them all; the server and its client must be of one version.',
  });
}

/** The error with the node that it came from. */
function atNode(node: string, thrown: unknown): unknown {
  if (!(thrown instanceof FlowstepError)) return thrown;
  return new FlowstepError(thrown.code, thrown.message, { node, ...thrown.details, cause: thrown });
}
