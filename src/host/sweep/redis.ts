/** @file The connection to the Redis of a queue, and what happens when it is gone. */
import { setTimeout as wait } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { FlowstepError } from '../../errors.ts';

/** Between two attempts to reach a Redis that is gone. */
const RETRY_MS = 250;
/** Parts that cannot be closed in order in this time are left to the end of the process. */
const CLOSE_MS = 1000;

export class RedisLink {
  readonly client: Redis;
  readonly #place: string;
  readonly #lost = new AbortController();
  #isClosing = false;
  #lastError = '';

  private constructor(client: Redis, place: string) {
    this.client = client;
    this.#place = place;
    client.on('error', (error: Error) => {
      this.#lastError = error.message;
    });
    client.on('end', () => {
      if (!this.#isClosing) this.#lost.abort(this.#unavailable());
    });
  }

  /** Throws USAGE for what is no address, REDIS_UNAVAILABLE when nobody answers there. */
  static async open(url: string, giveUpMs: number): Promise<RedisLink> {
    const place = placeOf(url);
    const client = new Redis(url, {
      // As BullMQ needs it: commands wait for the connection to come back, until we give up.
      maxRetriesPerRequest: null,
      lazyConnect: true,
      retryStrategy: (times) => (times * RETRY_MS > giveUpMs ? null : RETRY_MS),
    });
    const link = new RedisLink(client, place);
    try {
      await client.connect();
      // The first failure of `connect` is told while attempts go on.
    } catch {
      await new Promise<void>((resolve) => {
        client.once('ready', resolve);
        client.once('end', resolve);
      });
    }
    link.lost.throwIfAborted();
    return link;
  }

  /** Aborted, with REDIS_UNAVAILABLE as its reason, once the connection could not be had again. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** Closes the parts that use the connection, then the connection. Never throws. */
  async close(...parts: readonly { close(): Promise<unknown> }[]): Promise<void> {
    this.#isClosing = true;
    const closed = Promise.allSettled(parts.map((part) => part.close()));
    // Without a connection some parts wait for ever to say goodbye.
    await (this.#lost.signal.aborted ? Promise.race([closed, wait(CLOSE_MS)]) : closed);
    this.client.disconnect();
  }

  #unavailable(): FlowstepError {
    const why = this.#lastError && ` (${this.#lastError})`;
    return new FlowstepError('REDIS_UNAVAILABLE', `there is no Redis at ${this.#place}${why}`, {
      hint: 'Start it, or set REDIS_URL to where it is; without REDIS_URL rows run in this process.',
    });
  }
}

/** Host and port, without the password that an address may hold. */
function placeOf(address: string): string {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  if (url && /^rediss?:$/.test(url.protocol) && url.hostname !== '') return url.host;
  throw new FlowstepError('USAGE', 'REDIS_URL is no address of a Redis', {
    hint: 'For example: redis://localhost:6379, or rediss://user:password@host:6380',
  });
}
