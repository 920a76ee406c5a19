/**
 * @file `npm run verify:overhead`: what the way from ComfyUI's Python to the server costs.
 *
 * A server whose only node gives its latent back is timed from the shim, over the websocket and with
 * shared files; then the shipped student is sampled through a real one. Needs COMFYUI_DIR and a build.
 */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { NodeHost } from '../src/bridge/protocol/node-host.ts';
import { startServer } from '../src/bridge/server.ts';
import { PACKAGE_VERSION } from '../src/version.ts';
import { mergeResults } from './results.ts';

const { values } = parseArgs({ options: { save: { type: 'boolean', default: false } } });
const BOUNDS = { websocket_ms: 15, shared_files_ms: 5, fashion_first_result_ms: 100 };
const ROOT = fileURLToPath(new URL('..', import.meta.url));

interface Measured {
  readonly websocket: { readonly median_ms: number };
  readonly shared_files: { readonly median_ms: number };
  readonly fashion: { readonly median_ms: number };
}

const echo: NodeHost = {
  definitions: () => [],
  execute: async ({ inputs }) => ({
    outputs: { latent: inputs['latent'] },
    blocked: {},
    files: [],
  }),
  fingerprint: async () => undefined,
};

const comfy = process.env['COMFYUI_DIR'];
if (!comfy) throw new Error('COMFYUI_DIR must name an installed ComfyUI');
const token = randomBytes(32).toString('hex');
const server = await startServer({ host: echo, token, version: PACKAGE_VERSION });
const child = spawn(join(comfy, 'venv/bin/python'), [join(ROOT, 'bench/overhead.py'), server.ws], {
  env: {
    ...process.env,
    PYTHONPATH: join(comfy, 'ComfyUI'),
    PYTHONDONTWRITEBYTECODE: '1',
  },
  stdio: ['pipe', 'pipe', 'inherit'],
});
child.stdin.end(`${token}\n`);
const results = JSON.parse(await text(child.stdout)) as Measured;
await server.stop();
console.log(JSON.stringify(results, null, 2));
const isMet =
  results.websocket.median_ms <= BOUNDS.websocket_ms &&
  results.shared_files.median_ms <= BOUNDS.shared_files_ms &&
  results.fashion.median_ms <= BOUNDS.fashion_first_result_ms;
if (values.save)
  await mergeResults('overhead', 'shim', { ...results, bounds: BOUNDS, passed: isMet });
process.exitCode = isMet ? 0 : 1;
