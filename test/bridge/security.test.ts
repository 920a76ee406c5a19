/** Who may talk to the server, and what they may send. */
import { request } from 'node:http';
import { describe, expect, test } from 'vitest';
import { requireToken } from '../../src/bridge/guard.ts';
import { MAX_FRAME_BYTES, MAX_TEXT_BYTES } from '../../src/bridge/protocol/limits.ts';
import { type BridgeServer, startServer } from '../../src/bridge/server.ts';
import { Client, echo, hostOf, serverOf, TOKEN } from './support.ts';

interface Answer {
  readonly status: number;
  readonly body: string;
}

function get(
  server: BridgeServer,
  path: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    request(`${server.url}${path}`, { headers }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => {
        body += text;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
    })
      .on('error', reject)
      .end();
  });
}

/** The HTTP answer to an upgrade that is refused. */
function refusedUpgrade(
  server: BridgeServer,
  headers: Readonly<Record<string, string>>,
  path = '/ws',
): Promise<Answer> {
  return get(server, path, {
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
    'Sec-WebSocket-Protocol': 'flowstep.v1',
    Authorization: `Bearer ${TOKEN}`,
    ...headers,
  });
}

const WRONG_TOKENS = [
  '',
  'Bearer',
  'Bearer ',
  'Bearer wrong-wrong-wrong-wrong',
  `Bearer ${TOKEN.slice(0, -1)}`,
  `Bearer ${TOKEN}x`,
  `Bearer ${TOKEN.toUpperCase()}`,
  `Basic ${TOKEN}`,
  TOKEN,
];

const FOREIGN_HOSTS = [
  'example.com',
  'localhost.example.com',
  '127.0.0.1.example.com',
  '127.0.0.2@example.com',
  '10.1.2.3',
  '[::2]',
  '2130706434',
  'local host',
];

const FOREIGN_ORIGINS = ['http://example.com', 'null', 'http://127.0.0.1:1', 'file://', ''];

describe('the token', () => {
  test.each(WRONG_TOKENS)('%j opens nothing but /healthz', async (authorization) => {
    const server = await serverOf({});
    const headers = { Authorization: authorization };
    for (const path of ['/nodes', '/metrics', '/anything']) {
      const answer = await get(server, path, headers);
      expect([path, answer.status]).toEqual([path, 401]);
      expect(JSON.parse(answer.body)).toMatchObject({ code: 'UNAUTHORISED', retryable: false });
      expect(answer.body).not.toContain(TOKEN);
    }
    const upgrade = await refusedUpgrade(server, headers);
    expect(upgrade.status).toBe(401);
    expect(upgrade.body).not.toContain(TOKEN);
    expect((await get(server, '/healthz', headers)).status).toBe(200);
  });

  test.each(['', 'short', 'fifteen-letters', 'with spaces in between them', 'ünicode-ünicode-ü'])(
    'must not be %j',
    (token) => {
      expect(() => requireToken(token)).toThrow(expect.objectContaining({ code: 'USAGE' }));
    },
  );

  test('is in no error that names what is wrong with it', () => {
    expect(() => requireToken('secret text')).toThrow(
      expect.objectContaining({ message: expect.not.stringContaining('secret') }),
    );
  });
});

describe('Host and Origin', () => {
  test.each(FOREIGN_HOSTS)('the host %j is refused everywhere', async (host) => {
    const server = await serverOf({});
    const headers = { Host: host, Authorization: `Bearer ${TOKEN}` };
    for (const path of ['/healthz', '/nodes', '/metrics']) {
      expect((await get(server, path, headers)).status).toBe(403);
    }
    const upgrade = await refusedUpgrade(server, headers);
    expect([upgrade.status, JSON.parse(upgrade.body).code]).toEqual([403, 'HOST_REFUSED']);
  });

  test.each(FOREIGN_ORIGINS)('the origin %j is refused everywhere', async (origin) => {
    const server = await serverOf({});
    const headers = { Origin: origin, Authorization: `Bearer ${TOKEN}` };
    for (const path of ['/healthz', '/nodes', '/metrics']) {
      expect((await get(server, path, headers)).status).toBe(403);
    }
    const upgrade = await refusedUpgrade(server, headers);
    expect([upgrade.status, JSON.parse(upgrade.body).code]).toEqual([403, 'ORIGIN_REFUSED']);
  });

  test.each(['localhost', '127.0.0.1', '[::1]', 'LOCALHOST'])(
    '%s is this machine',
    async (name) => {
      const server = await serverOf({});
      const host = `${name}:${new URL(server.url).port}`;
      const headers = { Host: host, Origin: `http://${host}` };
      expect((await get(server, '/healthz', headers)).status).toBe(200);
    },
  );
});

describe('an address that others can reach', () => {
  test.each(['0.0.0.0', '::', '192.168.1.5', 'example.com'])(
    '%s needs TLS or consent',
    async (listen) => {
      await expect(
        startServer({ host: hostOf({}), token: TOKEN, version: '0', listen }),
      ).rejects.toMatchObject({
        code: 'USAGE',
        details: { hint: expect.stringContaining('--tls') },
      });
    },
  );

  test('with consent is listened on, under the names of this machine', async () => {
    const server = await serverOf({}, { listen: '0.0.0.0', insecure: true });
    expect(server.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    expect((await get(server, '/healthz')).status).toBe(200);
    expect((await get(server, '/healthz', { Host: 'example.com' })).status).toBe(403);
  });

  test('that is taken is an error that says so', async () => {
    const { port } = new URL((await serverOf({})).url);
    await expect(
      startServer({ host: hostOf({}), token: TOKEN, version: '0', port: Number(port) }),
    ).rejects.toMatchObject({ code: 'LISTEN_FAILED' });
  });
});

describe('versions', () => {
  test('another subprotocol is refused before the upgrade', async () => {
    const server = await serverOf({});
    const answer = await refusedUpgrade(server, { 'Sec-WebSocket-Protocol': 'flowstep.v2' });
    expect(answer.status).toBe(400);
    expect(JSON.parse(answer.body)).toMatchObject({ code: 'PROTOCOL_VERSION' });
  });

  test('another version in hello is told and the socket closed', async () => {
    const client = new Client((await serverOf({})).ws);
    await client.opened();
    const closed = client.closed();
    client.send({ type: 'hello', protocol: 7, client: 'anything', more: 1 });
    expect(await closed).toEqual({ code: 4400, reason: 'PROTOCOL_VERSION' });
    expect(client.received).toMatchObject([
      { type: 'error', code: 'PROTOCOL_VERSION', message: expect.stringContaining('7') },
    ]);
  });

  test('a websocket is at /ws and nowhere else', async () => {
    const server = await serverOf({});
    expect((await refusedUpgrade(server, {}, '/')).status).toBe(400);
  });
});

describe('the first message', () => {
  test.each([
    ['another message', '{"type":"ping","id":1}'],
    ['no JSON', 'hello'],
    ['a frame', Buffer.from('020000007b7d', 'hex')],
  ])('must be hello, not %s', async (_, data) => {
    const client = new Client((await serverOf({})).ws);
    await client.opened();
    const closed = client.closed();
    client.socket.send(data);
    expect(await closed).toEqual({ code: 4400, reason: 'MESSAGE_INVALID' });
  });

  test('must come in time', async () => {
    const client = new Client((await serverOf({}, { helloMs: 10 })).ws);
    await client.opened();
    expect(await client.closed()).toEqual({ code: 4408, reason: 'HELLO_MISSING' });
  });
});

describe('a message over the limit', () => {
  test.each([
    ['text', 'x'.repeat(MAX_TEXT_BYTES + 1)],
    ['frame', Buffer.alloc(MAX_FRAME_BYTES + 1)],
  ])('closes the socket: a %s', async (_, data) => {
    const server = await serverOf({ echo });
    const client = await Client.connect(server);
    const closed = client.closed();
    client.socket.send(data);
    expect((await closed).code).toBe(1009);
    // The server is there for others.
    const other = await Client.connect(server);
    other.execute('k', 'echo');
    await other.end('k');
  });
});

test('an unreadable message is answered, and the socket goes on', async () => {
  const client = await Client.connect(await serverOf({ echo }));
  client.socket.send('{"type":"execute","key":"k","node":"echo"}');
  expect(await client.end('k')).toMatchObject({ code: 'MESSAGE_INVALID', seq: 0 });
  client.socket.send('[]');
  client.sendFrame({ kind: 'preview', key: 'k', seq: 1, step: 1, mime: '', width: 1, height: 1 });
  client.send({ type: 'hello', protocol: 1, client: { name: 'again', version: '0' } });
  client.execute('later', 'echo');
  await client.end('later');
  const problems = client.received.filter((m) => 'type' in m && m.type === 'error');
  expect(problems).toHaveLength(4);
});
