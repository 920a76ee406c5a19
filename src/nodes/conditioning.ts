/** @file From ComfyUI's CONDITIONING to texts as a network takes them. */
import { FlowstepError } from '../errors.ts';
import type { TextRows } from '../trainer/run/conditions.ts';
import { float32 } from '../trainer/tensor.ts';
import type { Conditioning } from './handles.ts';

/** The one text of a conditioning [B, L, W] with its pooled vector; throws SHAPE_MISMATCH for several texts, or without that vector. */
export function textOf(conditioning: Conditioning, field: string): TextRows {
  if (conditioning.length > 1) {
    throw new FlowstepError(
      'SHAPE_MISMATCH',
      `the conditioning holds ${conditioning.length} texts, and a sample has one`,
      { field, hint: 'Connect it without Conditioning (Combine); Flow Prompt Set takes several.' },
    );
  }
  return textsOf(conditioning, field)[0]!;
}

/** The texts of a conditioning, one for each entry; throws SHAPE_MISMATCH when one has no pooled vector. */
export function textsOf(conditioning: Conditioning, field: string): TextRows[] {
  return conditioning.map(([context, { pooled_output: pooled }]) => {
    const [rows = 0] = context.shape;
    if (pooled && pooled.shape.length === 2 && pooled.shape[0] === rows) return { context, pooled };
    const found = pooled ? `one of [${pooled.shape.join(', ')}]` : 'none';
    throw new FlowstepError(
      'SHAPE_MISMATCH',
      `a text of [${context.shape.join(', ')}] needs a pooled vector for each of its rows, and has ${found}`,
      { field, hint: "Use a text encoder that gives one, such as Stable Diffusion 3's." },
    );
  });
}

/** All rows of texts of one length, in their order; throws SHAPE_MISMATCH when they differ in length or width. */
export function joined(texts: readonly TextRows[], field: string): TextRows {
  const [first] = texts;
  const [, tokens = 0, width = 0] = first?.context.shape ?? [];
  const pooledWidth = first?.pooled.shape[1] ?? 0;
  let rows = 0;
  for (const { context, pooled } of texts) {
    rows += context.shape[0]!;
    const fits = context.shape[1] === tokens && context.shape[2] === width;
    if (fits && pooled.shape[1] === pooledWidth) continue;
    throw new FlowstepError(
      'SHAPE_MISMATCH',
      `a prompt has ${context.shape[1]} tokens of width ${context.shape[2]} (pooled ${pooled.shape[1]}), the first one ${tokens} of ${width} (${pooledWidth})`,
      { field, hint: 'Prompts of a set are of one length: shorten the longer ones.' },
    );
  }
  const context = new Float32Array(rows * tokens * width);
  const pooled = new Float32Array(rows * pooledWidth);
  let row = 0;
  for (const text of texts) {
    context.set(text.context.data, row * tokens * width);
    pooled.set(text.pooled.data, row * pooledWidth);
    row += text.context.shape[0]!;
  }
  return {
    context: float32(context, [rows, tokens, width]),
    pooled: float32(pooled, [rows, pooledWidth]),
  };
}
