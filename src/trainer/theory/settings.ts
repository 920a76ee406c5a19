/** @file The settings in which the theory is measured. */
import { NetworkConfigSchema } from '../nn/config.ts';
import type { Effort } from './measure.ts';
import { networkSetting } from './networks.ts';
import { type Normals, normalsSetting } from './normals.ts';
import type { Setting } from './setting.ts';

/** Points that a student's latents are drawn from once. */
export const LATENTS = 4096;

export const SETTING_NAMES = ['gaussian', 'mixture', 'mlp', 'dit'] as const;
export type SettingName = (typeof SETTING_NAMES)[number];

const GAUSSIAN_TEACHER: Normals = { means: [[0.7, -0.4]], deviations: [[0.5, 0.9]] };
const GAUSSIAN_STUDENT: Normals = { means: [[0.1, 0.5]], deviations: [[1.3, 0.6]] };

/** Four normal distributions on a circle, and a student of three that has yet to find them. */
const CIRCLE: Normals = {
  means: [
    [1.5, 0],
    [0, 1.5],
    [-1.5, 0],
    [0, -1.5],
  ],
  deviations: Array.from({ length: 4 }, () => [0.5, 0.5]),
};
const THREE: Normals = {
  means: [
    [-1.7, 1.2],
    [-0.9, 2.1],
    [-2.2, 0.3],
  ],
  deviations: [
    [0.9, 0.7],
    [0.6, 1.1],
    [1.2, 0.8],
  ],
};

/** Teacher and student of the network settings: points in the plane, and pictures of four pixels, a token each. */
export const NETWORKS = {
  mlp: NetworkConfigSchema.parse({ kind: 'mlp', dim: 2, width: 64, layers: 2 }),
  dit: NetworkConfigSchema.parse({
    kind: 'dit',
    size: 2,
    channels: 1,
    patch: 1,
    width: 16,
    depth: 2,
    heads: 2,
  }),
};

/** Networks have `latents` latents. */
export function settingOf(name: SettingName, seed: number, latents = LATENTS): Setting {
  switch (name) {
    case 'gaussian':
      return normalsSetting(name, 'normal distributions', GAUSSIAN_TEACHER, GAUSSIAN_STUDENT);
    case 'mixture':
      return normalsSetting(name, 'mixtures of normal distributions', CIRCLE, THREE);
    case 'mlp':
      return networkSetting(name, `MLPs on ${latents} latents`, NETWORKS.mlp, latents, seed);
    case 'dit':
      return networkSetting(name, `DiTs on ${latents} latents`, NETWORKS.dit, latents, seed);
  }
}

/** Enough for intervals below 1 %; networks take most of the time. */
export const EFFORTS: Readonly<Record<SettingName, Effort>> = {
  gaussian: { batch: 1024, points: 8192, replicates: [16, 32], directions: 3 },
  mixture: { batch: 1024, points: 16384, replicates: [16, 64], directions: 3 },
  mlp: { batch: 64, points: 2 * LATENTS, replicates: [12, 36], directions: 3 },
  dit: { batch: 64, points: 2 * LATENTS, replicates: [8, 24], directions: 3 },
};
