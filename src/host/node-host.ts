/** @file Runs single nodes for whoever hosts the graph elsewhere: the bridge's view of the registry. */
import type { NodeEvents, NodeHost, NodeOutcome } from '../bridge/protocol/node-host.ts';
import { FlowstepError } from '../errors.ts';
import type { NodeResult } from '../nodes/define-node.ts';
import type { NodeContext, Roots } from '../nodes/node-context.ts';
import type { NodeRegistry } from '../nodes/registry.ts';
import type { StepEvent } from '../trainer/run/events.ts';
import { didYouMean } from './suggest.ts';

/** What a node has told, one below the other. */
const MAX_TEXTS = 5;

/** The nodes of `registry`, in the folders `roots`; `device` is told by those that compute. */
export function nodeHost(registry: NodeRegistry, roots: Roots, device?: string): NodeHost {
  return {
    definitions: () => registry.list(),
    async execute({ node, inputs, signal }, events) {
      const kind = registry.find(node);
      if (!kind) throw unknownNode(node, registry);
      try {
        return outcomeOf(await kind.run(inputs, contextFor(events, { roots, signal, device })));
      } catch (thrown) {
        throw atNode(node, thrown);
      }
    },
  };
}

function contextFor(
  events: NodeEvents,
  given: Pick<NodeContext, 'roots' | 'signal' | 'device'>,
): NodeContext {
  const told: string[] = [];
  return {
    ...given,
    onProgress: (event) => tellStep(event, events),
    onNotice(message) {
      // A page shows the last text that it is sent.
      told.push(message);
      events.text(told.slice(-MAX_TEXTS).join('\n'));
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
