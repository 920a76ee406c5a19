/** @file Load Flow Model: what a workflow says about the file it names does not hold for another. */
import type { ComfyNode } from './comfy.ts';

/** Hidden inputs that are about the file: the hash it must have, and the workflow that makes it. */
const ABOUT_FILE = ['sha256', 'made_by'];

/** Empties them when another file is chosen, as the user cannot see them; a file that is loaded keeps its own. */
export function unpinOtherFiles(node: ComfyNode): void {
  const file = node.widgets?.find(({ name }) => name === 'file');
  if (!file) return;
  let named = file.value;
  const { onConfigure } = node;
  node.onConfigure = function (this: ComfyNode, saved: unknown) {
    onConfigure?.call(this, saved);
    named = file.value;
  };
  const { callback } = file;
  file.callback = function (this: unknown, ...args: unknown[]) {
    callback?.apply(this, args);
    // Primitives and renaming call it with the file that it was.
    if (file.value === named) return;
    named = file.value;
    for (const widget of node.widgets ?? []) {
      if (ABOUT_FILE.includes(widget.name)) widget.value = '';
    }
  };
}
