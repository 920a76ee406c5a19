/**
 * @file Everything that an NVIDIA card can tell, as one JSON file: the same losses as the processor, speed and memory
 * beside PyTorch where there is one, share of the card's rate of multiplying.
 *
 *     BENCH_PYTHON=python3 npm run verify:cuda -- [--out FILE] [--device cuda] [--seconds S] [--minutes M]
 *
 * Each measurement is a process of its own. The file is written anew after each, the most important first, so that what
 * is stopped half-way has told something; none is begun after so many minutes.
 */
import { spawn, spawnSync } from 'node:child_process';
import { renameSync, writeFileSync } from 'node:fs';
import { arch, cpus, release } from 'node:os';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { difference } from './curves.ts';
import { peerPrecision, ratios } from './peer.ts';

const { values } = parseArgs({
  options: {
    out: { type: 'string', default: 'cuda.json' },
    device: { type: 'string', default: 'cuda' },
    seconds: { type: 'string', default: '3' },
    minutes: { type: 'string', default: '9' },
    curves: { type: 'string', default: 'mlp-2d,dit-xs,unet-xs,dit-s,unet-s' },
    configs: { type: 'string', default: 'dit-s,dit-b,unet-cifar' },
    precisions: { type: 'string', default: 'fp32,tf32,bf16,fp16' },
    peer: { type: 'string', default: 'peer/torch_fgm.py' },
  },
});
const { device, seconds } = values;
const python = process.env['BENCH_PYTHON'];
const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const begun = performance.now();
const isLate = () => performance.now() - begun > Number(values.minutes) * 60_000;

const list = (text: string) => text.split(',').filter(Boolean);

type Row = Record<string, unknown> & { error?: unknown };

/** What a process prints last, as JSON; a failure is a row too. */
function run(command: string, args: readonly string[]): Promise<Row> {
  return new Promise((resolve) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let text = '';
    let said = '';
    child.stdout.on('data', (part: Buffer) => (text += part.toString()));
    child.stderr.on('data', (part: Buffer) => (said += part.toString()));
    child.on('error', (error) => resolve({ error: String(error) }));
    child.on('close', (code, signal) => {
      try {
        resolve(JSON.parse(text.trim().split('\n').at(-1) ?? '') as Row);
      } catch {
        resolve({ error: { ended: signal ?? code, said: said.slice(-2000) } });
      }
    });
  });
}

const program = here(`./cuda-row${extname(fileURLToPath(import.meta.url))}`);
const ours = (...args: string[]) => run(process.execPath, [...process.execArgv, program, ...args]);

const report: Record<string, unknown> = {
  date: new Date().toISOString(),
  machine: `${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}, ${arch()}, ${release()}`,
  card: cardFacts(),
  node: process.versions.node,
  device,
};

function cardFacts(): string | null {
  const query = '--query-gpu=name,driver_version,memory.total,clocks.max.sm,power.limit';
  const { status, stdout } = spawnSync('nvidia-smi', [query, '--format=csv,noheader'], {
    encoding: 'utf8',
  });
  return status === 0 ? stdout.trim() : null;
}

/** Keeps what is known so far; whole or not there. */
function keep(section: string, name: string, row: unknown): void {
  report[section] = { ...(report[section] as object | undefined), [name]: row };
  report['minutes'] = Number(((performance.now() - begun) / 60_000).toFixed(2));
  writeFileSync(`${values.out}.partial`, `${JSON.stringify(report, null, 2)}\n`);
  renameSync(`${values.out}.partial`, values.out);
  process.stderr.write(`${section} ${name}: ${JSON.stringify(row).slice(0, 300)}\n`);
}

/** Curves agree when each step differs by less than this share. */
const TOLERANCES: Readonly<Record<string, number>> = {
  fp32: 1e-4,
  tf32: 0.01,
  bf16: 0.02,
  fp16: 0.02,
};

async function correctness(config: string): Promise<void> {
  const right = await ours('curve', config);
  const compare = async (section: string, precision: string, ...more: string[]) => {
    const how = ['--device', device, '--precision', precision, ...more];
    const found = await ours('curve', config, ...how);
    const error = right.error ?? found.error;
    const online = difference(found['online'], right['online']);
    const gradient = difference(found['gradient'], right['gradient']);
    const isRight = online <= (TOLERANCES[precision] ?? 0);
    const row = error ? { error } : { isRight, online, gradient, right, found };
    keep(section, `${config} ${precision}`, row);
  };
  for (const precision of device === 'cuda' ? list(values.precisions) : ['fp32']) {
    await compare('correctness', precision);
    if (device === 'cpu' || isLate()) continue;
    const how = ['--device', device, '--precision', precision, '--steps', '1', '--strict'];
    const { error: refusal } = await ours('curve', config, ...how);
    keep('everyNodeOnTheCard', `${config} ${precision}`, refusal ?? true);
    // Replays are right when they tell the same as runs.
    if (device === 'cuda' && !isLate()) await compare('correctnessRecorded', precision, '--graphs');
  }
}

async function speed(config: string, precision: string): Promise<void> {
  const how = ['--device', device, '--seconds', seconds];
  const mine = await ours(
    'bench',
    config,
    ...how,
    ...(device === 'cuda' ? ['--precision', precision] : []),
  );
  const digits = peerPrecision(precision);
  const peer = async (...more: string[]) =>
    python && !isLate()
      ? run(python, [here(values.peer), config, ...how, ...digits, ...more])
      : undefined;
  const eager = await peer();
  const graphs =
    device === 'cuda' && !isLate()
      ? await ours('bench', config, ...how, '--precision', precision, '--graphs')
      : undefined;
  const row = { flowstep: mine, torch: eager, ratio: eager && ratios(mine, eager), graphs };
  keep('speed', `${config} ${precision}`, row);
  const compiled = device === 'cuda' ? await peer('--compile') : undefined;
  if (compiled)
    keep('speed', `${config} ${precision}`, {
      ...row,
      compiled,
      ratioCompiled: ratios(mine, compiled),
    });
}

for (const config of list(values.curves)) if (!isLate()) await correctness(config);
for (const precision of list(values.precisions)) {
  for (const config of list(values.configs)) if (!isLate()) await speed(config, precision);
}
keep('done', 'isWhole', !isLate());
