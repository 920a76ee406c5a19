/** @file Advanced widgets on the canvas: out of sight, and without room of their own. */
import type { ComfyNode } from './comfy.ts';

/**
 * Nodes that the page lays out hide advanced widgets by themselves. The canvas does not draw them but leaves room for them;
 * it leaves none for hidden ones.
 */
export function hideAdvanced(node: ComfyNode): void {
  const advanced = node.widgets?.filter((widget) => widget.options?.advanced) ?? [];
  if (advanced.length === 0) return;
  const get = () => !node.showAdvanced && !globalThis.LiteGraph?.vueNodesMode;
  for (const widget of advanced) {
    widget.advanced = true;
    Object.defineProperty(widget, 'hidden', { configurable: true, get });
  }
  node.setSize([node.size[0], node.computeSize()[1]]);
  shrinkAgain(node);
}

/** With its advanced widgets hidden again a node is as high as it was, or as low as it can be where it was loaded with them. */
function shrinkAgain(node: ComfyNode): void {
  const { toggleAdvanced } = node;
  let height = 0;
  node.toggleAdvanced = function (this: ComfyNode) {
    if (!node.showAdvanced) height = node.size[1];
    toggleAdvanced?.call(this);
    if (!node.showAdvanced) node.setSize([node.size[0], Math.max(height, node.computeSize()[1])]);
  };
}
