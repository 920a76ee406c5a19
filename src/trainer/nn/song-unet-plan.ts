/** @file The blocks of a SongUNet in order, with their names in EDM's state dict. */

/** What of a configuration says which blocks there are. */
export interface SongUNetSizes {
  readonly size: number;
  /** Pixels a side that are folded into channels before the first layer. */
  readonly patch: number;
  readonly width: number;
  readonly multipliers: readonly number[];
  readonly blocks: number;
  readonly attention: readonly number[];
}

export interface BlockPlan {
  readonly name: string;
  readonly inputs: number;
  readonly outputs: number;
  readonly resample: 'up' | 'down' | undefined;
  readonly attention: boolean;
  /** Whether the result of an encoder layer is joined to its input. */
  readonly joins: boolean;
}

export interface LevelPlan {
  /** Pixels a side; levels are called SIZExSIZE. */
  readonly size: number;
  readonly blocks: readonly BlockPlan[];
}

/** Encoder levels from large to small, decoder levels back. The first encoder level begins with a convolution. */
export interface SongUNetPlan {
  readonly encoder: readonly LevelPlan[];
  readonly decoder: readonly LevelPlan[];
}

/** EDM's training/networks.py, SongUNet.__init__. */
export function songUNetPlan(config: SongUNetSizes): SongUNetPlan {
  const { width, multipliers, blocks: count, attention } = config;
  const sizes = multipliers.map((_, level) => config.size / config.patch / 2 ** level);
  const skips = [width];
  let channels = width;

  const block = (
    name: string,
    outputs: number,
    options: Partial<Pick<BlockPlan, 'resample' | 'attention' | 'joins'>>,
  ): BlockPlan => {
    const inputs = channels + (options.joins ? skips.pop()! : 0);
    channels = outputs;
    return {
      name,
      inputs,
      outputs,
      resample: undefined,
      attention: false,
      joins: false,
      ...options,
    };
  };

  const encoder = sizes.map((size, level) => {
    const name = `model.enc.${size}x${size}`;
    const blocks: BlockPlan[] = [];
    const place = (...args: Parameters<typeof block>) => {
      blocks.push(block(...args));
      skips.push(channels);
    };
    if (level > 0) place(`${name}_down`, channels, { resample: 'down' });
    for (let i = 0; i < count; i++) {
      const outputs = width * multipliers[level]!;
      place(`${name}_block${i}`, outputs, { attention: attention.includes(size) });
    }
    return { size, blocks };
  });

  const decoder = sizes.toReversed().map((size, i) => {
    const name = `model.dec.${size}x${size}`;
    const first =
      i === 0
        ? [block(`${name}_in0`, channels, { attention: true }), block(`${name}_in1`, channels, {})]
        : [block(`${name}_up`, channels, { resample: 'up' })];
    const outputs = width * multipliers[multipliers.length - 1 - i]!;
    const rest = Array.from({ length: count + 1 }, (_, k) => {
      const attends = k === count && attention.includes(size);
      return block(`${name}_block${k}`, outputs, { joins: true, attention: attends });
    });
    return { size, blocks: [...first, ...rest] };
  });
  return { encoder, decoder };
}

/** Groups of a group normalisation: at least four channels each, at most 32 groups. */
export const groupsOf = (channels: number): number => Math.min(32, Math.floor(channels / 4));

/** Whether the channels of every block can be normalised in groups. */
export function hasWholeGroups(config: SongUNetSizes): boolean {
  const { encoder, decoder } = songUNetPlan(config);
  const counts = [...encoder, ...decoder].flatMap(({ blocks }) =>
    blocks.flatMap(({ inputs, outputs }) => [inputs, outputs]),
  );
  return counts.every((channels) => channels >= 4 && channels % groupsOf(channels) === 0);
}
