/** The HTTP side: health, nodes and numbers; TLS. */
import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { startServer } from '../../src/bridge/server.ts';
import { allNodes } from '../../src/nodes/all-nodes.ts';
import { Client, echo, forever, hostOf, serverOf, TOKEN } from './support.ts';

const withToken = { headers: { Authorization: `Bearer ${TOKEN}` } };

describe('the routes', () => {
  test('/healthz tells the version and nothing else', async () => {
    const server = await serverOf({}, { version: '1.2.3' });
    const answer = await fetch(`${server.url}/healthz`);
    expect(answer.headers.get('x-powered-by')).toBeNull();
    expect(await answer.json()).toEqual({ status: 'ok', version: '1.2.3' });
  });

  test('/nodes gives the definitions as they are now, like hello', async () => {
    const definitions = allNodes().list().slice(0, 2);
    const host = { ...hostOf({}), definitions: () => definitions };
    const server = await serverOf({}, { host });
    const answer = await fetch(`${server.url}/nodes`, withToken);
    expect(await answer.json()).toEqual(definitions);
    const client = await Client.connect(server);
    expect(client.received[0]).toMatchObject({
      type: 'hello',
      protocol: 1,
      server: { name: 'flowstep', version: '0', pid: process.pid },
      nodes: definitions,
      graceSeconds: 60,
    });
  });

  test('/nodes that fails is a coded error, and the defect is told', async () => {
    const defects: unknown[] = [];
    const host = {
      ...hostOf({}),
      definitions: () => {
        throw new Error('a defect');
      },
    };
    const server = await serverOf({}, { host, onDefect: (error) => defects.push(error) });
    const answer = await fetch(`${server.url}/nodes`, withToken);
    expect(answer.status).toBe(500);
    expect(await answer.json()).toMatchObject({ code: 'INTERNAL' });
    expect(defects).toHaveLength(1);
    // The same on a websocket ends nothing but the hello.
    const client = new Client(server.ws);
    await client.opened();
    client.send({ type: 'hello', protocol: 1, client: { name: 'test', version: '0' } });
    expect(await client.until(() => true)).toMatchObject({ type: 'error', code: 'INTERNAL' });
    expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
  });

  test('/metrics counts executions, sockets and bytes', async () => {
    const server = await serverOf({
      echo,
      forever,
      fails: async () => {
        throw new Error('no');
      },
    });
    const client = await Client.connect(server);
    for (const key of ['a', 'b']) client.execute(key, 'echo');
    client.execute('c', 'fails');
    client.execute('d', 'forever');
    client.execute('e', 'echo');
    client.send({ type: 'done', key: 'a' });
    await client.until((m) => 'key' in m && m.key === 'd' && 'type' in m && m.type === 'started');
    await client.until((m) => 'key' in m && m.key === 'e');
    const text = await (await fetch(`${server.url}/metrics`, withToken)).text();
    const numbers = Object.fromEntries(
      [...text.matchAll(/^(flowstep_\S+) (\S+)$/gm)].map(([, name, value]) => [
        name,
        Number(value),
      ]),
    );
    expect(numbers).toMatchObject({
      'flowstep_executions_total{outcome="result"}': 2,
      'flowstep_executions_total{outcome="error"}': 1,
      'flowstep_executions_total{outcome="interrupted"}': 0,
      flowstep_executions_running: 1,
      flowstep_executions_waiting: 1,
      flowstep_sockets: 1,
    });
    expect(numbers['flowstep_received_bytes_total']).toBeGreaterThan(200);
    expect(numbers['flowstep_sent_bytes_total']).toBeGreaterThan(200);
    expect(text).toMatch(/^process_resident_memory_bytes \d/m);
    expect(text).not.toContain(TOKEN);
  });

  test('anything else is not there', async () => {
    const server = await serverOf({});
    expect((await fetch(`${server.url}/`, withToken)).status).toBe(404);
    expect((await fetch(`${server.url}/ws`, withToken)).status).toBe(404);
  });
});

test('a certificate that is none is refused before anything listens', async () => {
  const { privateKey } = generateKeyPairSync('ed25519');
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  await expect(
    startServer({ host: hostOf({}), token: TOKEN, version: '0', tls: { cert: 'none', key } }),
  ).rejects.toMatchObject({ code: 'USAGE' });
});
