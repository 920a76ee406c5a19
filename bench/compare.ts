/**
 * @file `npm run bench`: this product's figures, beside PyTorch's where BENCH_PYTHON names a Python with torch.
 *
 *     BENCH_PYTHON=/path/to/python npm run bench -- [CONFIG ...] [--rounds N] [--seconds S] [--save]
 *     ... npm run bench -- dit-b --device cuda --precision tf32
 *
 * The two run in turn as processes of their own, so that a change of the machine's speed meets both;
 * each figure is the least of all rounds. On a machine that does other work the ratios mean nothing.
 */
import { cpus, loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { FIGURES, peerPrecision, ratios } from './peer.ts';
import { printed } from './printed.ts';
import { mergeResults } from './results.ts';

type Figures = Partial<Record<(typeof FIGURES)[number], number | null>> & {
  peer?: string;
  roofline?: object;
};

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

const { values, positionals } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '5' },
    threads: { type: 'string', default: '2' },
    device: { type: 'string', default: 'cpu' },
    precision: { type: 'string', default: 'fp32' },
    compile: { type: 'boolean', default: false },
    save: { type: 'boolean', default: false },
  },
  allowPositionals: true,
});
const python = process.env['BENCH_PYTHON'];
const { rounds, seconds, threads, device, precision } = values;

const ours = (config: string) =>
  printed<Figures>(process.execPath, [
    ...['--import', 'tsx', here('../src/main.ts'), 'bench', '--config', config],
    ...['--threads', threads, '--seconds', seconds, '--json'],
    ...['--device', device, '--precision', precision],
  ]);
const theirs = (config: string) =>
  printed<Figures>(python!, [
    here('./peer/torch_fgm.py'),
    config,
    ...['--threads', threads, '--seconds', seconds, '--device', device],
    ...peerPrecision(precision),
    ...(values.compile ? ['--compile'] : []),
  ]);
/** What the figures are of, beside the configuration. */
const how = device === 'cpu' ? '' : `, ${device} ${precision}${values.compile ? ', compiled' : ''}`;

function least(runs: readonly Figures[]): Figures {
  const best = (key: (typeof FIGURES)[number]) => {
    const found = runs.flatMap((run) => (typeof run[key] === 'number' ? [run[key]] : []));
    return found.length ? Math.min(...found) : null;
  };
  return Object.fromEntries(FIGURES.map((key) => [key, best(key)]));
}

for (const config of positionals.length ? positionals : ['mlp-2d', 'dit-s']) {
  const load = loadavg()[0]!;
  const mine: Figures[] = [];
  const peer: Figures[] = [];
  for (let round = 0; round < Number(rounds); round++) {
    mine.push(await ours(config));
    if (python) peer.push(await theirs(config));
  }
  const flowstep = least(mine);
  const torch = peer.length ? least(peer) : undefined;
  const ratio = ratios(flowstep, torch ?? {});
  const row = (name: string, of: Figures) =>
    console.log(
      `${name.padEnd(10)} ${FIGURES.map((k) => String(of[k] ?? '-').padStart(12)).join('')}`,
    );
  console.log(`\n${config}${how}, ${threads} threads, least of ${rounds} rounds`);
  console.log(`${''.padEnd(10)} ${FIGURES.map((k) => k.padStart(12)).join('')}`);
  row('flowstep', flowstep);
  if (torch) {
    row('pytorch', torch);
    row('ratio', ratio);
  }
  if (values.save) {
    await mergeResults('speed', `${config}${how}`, {
      flowstep: { ...flowstep, roofline: mine.at(-1)?.roofline },
      ...(torch && { torch: { peer: peer[0]?.peer, ...torch }, ratio }),
      rounds: Number(rounds),
      threads: Number(threads),
      loadBefore: Number(load.toFixed(2)),
      machine: cpus()[0]?.model ?? 'unknown',
      date: new Date().toISOString().slice(0, 10),
    });
  }
}
