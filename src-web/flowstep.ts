/** @file ComfyUI's front-end extension of Flowstep: live charts on the nodes that train. */
import { api } from 'comfy/api';
import { app } from 'comfy/app';
import plotStyle from 'uplot/dist/uPlot.min.css';
import { hideAdvanced } from './advanced.ts';
import type { ComfyNode } from './comfy.ts';
import { CURVES } from './curves.ts';
import { findNode } from './find-node.ts';
import { guarded } from './guard.ts';
import { readHistory, readMetricsEvent, readPromptId } from './messages.ts';
import { Panel } from './panel.ts';
import { unpinOtherFiles } from './pinned-file.ts';
import { type Run, Runs } from './runs.ts';
import style from './style.css';
import { ENDS, endings, workflowOf } from './workflow-of.ts';

/** Four lines of text and a chart that can be read, in pixels of the canvas at scale 1. */
const MIN_HEIGHT = 220;
/** The status and the legend of three curves fit into a line each. */
const MIN_WIDTH = 340;

const runs = new Runs();
const panels = new Map<ComfyNode, Panel>();

/** Gives each panel the latest run of its node in the workflow that is open; with `only`, those that show this run. */
function place(only?: Run): void {
  const root = app.rootGraph ?? app.graph;
  const shown = new Map<ComfyNode, Run>();
  for (const run of runs.all) {
    const isElsewhere = run.workflow === undefined || (run.workflow ?? root.id) !== root.id;
    const node = isElsewhere ? undefined : findNode(root, run.node);
    if (node) shown.set(node, run);
  }
  for (const [node, panel] of panels) {
    // What a node shows stays when its workflow gets another id, by being saved as another.
    const run = shown.get(node) ?? panel.run;
    if (!only || run === only) panel.show(run);
  }
}

/** Until it is known whose run it is, no node shows it: ids of nodes repeat in other workflows. */
async function assign(run: Run): Promise<void> {
  run.workflow ??= await workflowOf(api, run.promptId).catch(() => null);
  place();
}

async function receive(event: CustomEvent<unknown>): Promise<void> {
  const update = readMetricsEvent(event.detail);
  if (!update) return;
  const isNew = !runs.has(update);
  const run = runs.receive(update);
  if (isNew) await assign(run);
  else place(run);
}

/** Brings what the server remembers to a page that has just been opened, or was cut off. */
async function restore(): Promise<void> {
  const response = await api.fetchApi('/flowstep/history');
  if (!response.ok) return;
  const updates = readHistory(await response.json());
  const ends = await endings(
    api,
    updates.map((update) => update.promptId),
  );
  await Promise.all(
    updates.map((update) => assign(runs.restore(update, ends.get(update.promptId)))),
  );
}

/** Ends runs whose end this page has not been told: of other pages' prompts, or with a ComfyUI that is gone. */
async function settle(): Promise<void> {
  const { running } = runs;
  if (running.length === 0) return;
  const ends = await endings(api, running);
  for (const [promptId, state] of ends) runs.end(promptId, state);
  if (ends.size > 0) place();
}

/** Its widget is the last, so that the values of the others keep their places in files. */
function attach(node: ComfyNode): void {
  const curves = CURVES[node.comfyClass ?? ''];
  if (!curves || panels.has(node)) return;
  const panel = new Panel(curves);
  const widget = node.addDOMWidget('flowstep_live', 'flowstep_live', panel.element, {
    serialize: false,
    hideOnZoom: false,
    // There is one chart, and the panel beside the canvas would take it off its node and make it narrow.
    hideInPanel: true,
    getMinHeight: () => MIN_HEIGHT,
  });
  widget.serialize = false;
  panels.set(node, panel);
  const [width, height] = node.size;
  node.setSize([Math.max(width, MIN_WIDTH), height]);
  const { onRemoved } = node;
  node.onRemoved = function (this: ComfyNode) {
    onRemoved?.call(this);
    panels.delete(node);
    panel.destroy();
  };
}

/** Styles as an object, which pages that forbid styles in elements allow as well. */
function addStyle(): void {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(plotStyle + style);
  document.adoptedStyleSheets.push(sheet);
}

app.registerExtension({
  name: 'Flowstep',
  setup: guarded('setup', async () => {
    addStyle();
    api.addEventListener('flowstep.metrics', guarded('a metrics event', receive));
    for (const [type, state] of Object.entries(ENDS)) {
      const end = ({ detail }: CustomEvent<unknown>) => {
        runs.end(readPromptId(detail) ?? '', state);
        place();
      };
      api.addEventListener(type, guarded(`the event ${type}`, end));
    }
    // Its detail is null when the connection is lost: then there is nobody to ask.
    const changed = guarded('the event status', ({ detail }: CustomEvent<unknown>) =>
      detail === null ? undefined : settle(),
    );
    api.addEventListener('status', changed);
    const reconnected = guarded('the event reconnected', async () => {
      await restore();
      await settle();
    });
    api.addEventListener('reconnected', reconnected);
    const redraw = guarded('redrawing', () => place());
    // Themes are classes and variables of these two.
    const observer = new MutationObserver(() => void redraw());
    for (const target of [document.documentElement, document.body]) {
      observer.observe(target, { attributeFilter: ['class', 'style'] });
    }
    await restore();
  }),
  nodeCreated: guarded('adding a chart', (node) => {
    if (!node.comfyClass?.startsWith('Flowstep')) return;
    hideAdvanced(node);
    if (node.comfyClass === 'FlowstepLoadModel') unpinOtherFiles(node);
    attach(node);
  }),
  afterConfigureGraph: guarded('finding the charts', () => place()),
});
