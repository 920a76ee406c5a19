/** @file Prompts of ComfyUI's and our nodes for Stable Diffusion 3. */
import type { Prompt } from './comfy-client.ts';

/** As the tiny checkpoints want texts. */
export const TEXT = { tokens: 7, width: 48, pooled: 32, count: 1, seed: 11 };

export type Link = readonly [node: string, slot: number];

export function node(
  class_type: string,
  inputs: Readonly<Record<string, unknown>>,
): Prompt[string] {
  return { class_type, inputs };
}

export const unetLoader = (unet_name: string) =>
  node('UNETLoader', { unet_name, weight_dtype: 'default' });

/** ComfyUI's sampler on the nodes `text`, `negative` (or `text` again) and `empty`. */
export function kSampler(given: {
  readonly model: Link;
  readonly empty?: string;
  readonly steps: number;
  readonly seed: unknown;
  readonly cfg?: number;
}): Prompt[string] {
  const { model, empty = 'empty', steps, seed, cfg = 1 } = given;
  const negative = cfg === 1 ? 'text' : 'negative';
  const how = { sampler_name: 'euler', scheduler: 'simple', denoise: 1 };
  const links = { positive: ['text', 0], negative: [negative, 0], latent_image: [empty, 0] };
  return node('KSampler', { model, steps, seed, cfg, ...how, ...links });
}

export const ourSampler = (model: string, inputs: Readonly<Record<string, unknown>>) =>
  node('FlowstepTeacherSampler', { model: [model, 0], steps: 1, ...inputs });

export const idsOf = (prompt: Prompt, type: string) =>
  Object.keys(prompt).filter((id) => prompt[id]!.class_type === type);

export const typesOf = (prompt: Prompt) =>
  Object.values(prompt).map(({ class_type }) => class_type);

/** Nodes that the tiny checkpoints have no files for. */
const NEEDS_FILES = /^(TripleCLIPLoader|VAELoader|VAEDecode|SaveImage|CheckpointLoaderSimple)$/;

/** The prompt up to its latent, with a node `text` in place of its text encoders. */
export function withoutText(prompt: Prompt): Prompt {
  const encoders = idsOf(prompt, 'CLIPTextEncode');
  const rewired = (value: unknown) =>
    Array.isArray(value) && encoders.includes(String(value[0])) ? ['text', 0] : value;
  const kept = Object.entries(prompt).filter(
    ([id, { class_type }]) => !encoders.includes(id) && !NEEDS_FILES.test(class_type),
  );
  const nodes = kept.map(([id, { class_type, inputs }]) => {
    const entries = Object.entries(inputs).map(([name, value]) => [name, rewired(value)]);
    return [id, node(class_type, Object.fromEntries(entries))] as const;
  });
  return { ...Object.fromEntries(nodes), text: node('TestText', TEXT) };
}
