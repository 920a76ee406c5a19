/** The server behind TLS: who trusts its certificate can use it, and nobody else. */
import { get } from 'node:https';
import { text } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { selfSigned } from '../support/certificate.ts';
import { Client, echo, serverOf } from './support.ts';

test('a client that trusts the certificate executes, and the addresses say that it is TLS', async () => {
  const { cert, key } = await selfSigned();
  const server = await serverOf({ echo }, { tls: { cert, key } });
  expect([server.url, server.ws]).toEqual([
    expect.stringMatching(/^https:\/\/127\.0\.0\.1:\d+$/),
    expect.stringMatching(/^wss:\/\/127\.0\.0\.1:\d+\/ws$/),
  ]);
  const client = await Client.connect(server, { ca: cert });
  client.execute('k', 'echo', { x: 1 });
  expect(await client.end('k')).toMatchObject({ type: 'result', outputs: { x: 1 } });
  expect(await health(server.url, cert)).toMatchObject({ status: 'ok' });
});

test.each([
  ['with another authority', async () => (await selfSigned()).cert],
  ['with those of the system', async () => undefined],
])('a client %s refuses to speak to it', async (_, makeCa) => {
  const { cert, key } = await selfSigned();
  const server = await serverOf({ echo }, { tls: { cert, key } });
  const ca = await makeCa();
  await expect(Client.connect(server, ca ? { ca } : {})).rejects.toThrow(/self-signed certificate/);
  await expect(health(server.url, ca)).rejects.toThrow(/self-signed certificate/);
});

test('a client without TLS gets nothing', async () => {
  const { cert, key } = await selfSigned();
  const server = await serverOf({ echo }, { tls: { cert, key } });
  const plain = new Client(server.ws.replace('wss:', 'ws:'));
  await expect(plain.opened()).rejects.toThrow();
});

test('a server that others can reach needs no --insecure with TLS', async () => {
  const { cert, key } = await selfSigned();
  const server = await serverOf({ echo }, { tls: { cert, key }, listen: '0.0.0.0' });
  const client = await Client.connect(server, { ca: cert });
  client.execute('k', 'echo');
  expect(await client.end('k')).toMatchObject({ type: 'result' });
});

function health(url: string, ca: string | undefined): Promise<unknown> {
  return new Promise((resolve, reject) => {
    get(`${url}/healthz`, { ca, agent: false }, (answer) => {
      text(answer).then((body) => resolve(JSON.parse(body)), reject);
    }).on('error', reject);
  });
}
