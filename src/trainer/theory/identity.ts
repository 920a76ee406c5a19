/** @file All that `flowstep verify identity` measures, and its verdict. */
import { type Effort, measure, type Row } from './measure.ts';
import { type OnlineGap, onlineGaps } from './online-gap.ts';
import { EFFORTS, NETWORKS, SETTING_NAMES, type SettingName, settingOf } from './settings.ts';
import { jointVerdict, type Verdict } from './statistics.ts';

/** Updates of the online flow after which its gap is measured. */
const ONLINE_STEPS = [0, 100, 300, 1000, 3000, 10_000];

export interface SettingReport {
  readonly name: SettingName;
  readonly title: string;
  /** Points drawn, over all replicates. */
  readonly points: number;
  readonly rows: readonly Row[];
  readonly verdict: Verdict;
}

export interface IdentityReport {
  readonly seed: number;
  readonly settings: readonly SettingReport[];
  /** What a learned online flow leaves, in the setting `mlp`; there is no bound on it. */
  readonly online?: readonly OnlineGap[];
  readonly verdict: Verdict;
}

export interface IdentityOptions {
  readonly seed: number;
  /** Default: all. */
  readonly settings?: readonly SettingName[];
  /** Whether the gap of a learned online flow is measured too. */
  readonly online: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly onStage?: (what: string) => void;
}

/** Measures the identity and the gradients in each setting. Throws INTERRUPTED. */
export async function measureIdentity(options: IdentityOptions): Promise<IdentityReport> {
  const { seed, signal, onStage } = options;
  const settings: SettingReport[] = [];
  for (const name of options.settings ?? SETTING_NAMES) {
    const setting = settingOf(name, seed);
    const effort: Effort = EFFORTS[name];
    const { rows, points } = await measure(setting, {
      effort,
      seed,
      signal,
      onProgress: (done) => onStage?.(`${name}: ${done} of at most ${effort.replicates[1]}`),
    });
    settings.push({
      name,
      title: setting.title,
      points,
      rows,
      verdict: jointVerdict(rows.map(({ verdict }) => verdict)),
    });
  }
  const verdict = jointVerdict(settings.map((setting) => setting.verdict));
  if (!options.online) return { seed, settings, verdict };
  onStage?.('online flow');
  const online = await onlineGaps({
    setting: settingOf('mlp', seed),
    config: NETWORKS.mlp,
    steps: ONLINE_STEPS,
    effort: EFFORTS.mlp,
    seed,
    signal,
  });
  return { seed, settings, online, verdict };
}
