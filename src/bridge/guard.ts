/** @file Who may talk to the server: the Host and Origin that a browser names, and the token. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { hostname, networkInterfaces } from 'node:os';
import { FlowstepError } from '../errors.ts';

const LOOPBACK_NAMES = ['localhost', '127.0.0.1', '[::1]'];

/** Addresses that mean "all of this machine". */
const WILDCARDS = ['0.0.0.0', '::', '[::]'];

/** A shorter token could be guessed. */
const MIN_TOKEN_LENGTH = 16;

/** True for names and addresses that only this machine reaches. */
export function isLoopback(host: string): boolean {
  return host === '::1' || LOOPBACK_NAMES.includes(host) || /^127(\.\d{1,3}){3}$/.test(host);
}

/** Throws USAGE unless the token can protect a server. The token itself is never in a message. */
export function requireToken(token: string): void {
  if (token.length >= MIN_TOKEN_LENGTH && /^[\x21-\x7e]+$/.test(token)) return;
  throw new FlowstepError(
    'USAGE',
    `the token must have at least ${MIN_TOKEN_LENGTH} printable characters without spaces`,
    { hint: 'Make one with: openssl rand -hex 32' },
  );
}

export class Guard {
  readonly #tokenHash: Buffer;
  readonly #names: ReadonlySet<string>;

  constructor(token: string, listen: string) {
    this.#tokenHash = sha256(token);
    this.#names = new Set([...LOOPBACK_NAMES, ...namesOf(listen)]);
  }

  /**
   * Why a request is refused for where it says that it comes from. A page of another site reaches
   * loopback through the browser, but its Origin is its own; a name that somebody else's DNS points
   * here is not one of ours. Programs send no Origin.
   */
  refusal({ host, origin }: IncomingHttpHeaders): FlowstepError | undefined {
    const url = host === undefined ? undefined : parse(`http://${host}`);
    if (!url || url.host === '' || !this.#names.has(url.hostname)) {
      return new FlowstepError('HOST_REFUSED', 'the Host of the request is not this server', {
        hint: 'Use the address that the server printed when it started.',
      });
    }
    if (origin === undefined || parse(origin)?.host === url.host) return undefined;
    return new FlowstepError('ORIGIN_REFUSED', 'the Origin of the request is another site', {
      hint: 'Pages of other sites may not use this server.',
    });
  }

  /** Undefined when the request carries the token; takes as long for any other. */
  unauthorised({ authorization }: IncomingHttpHeaders): FlowstepError | undefined {
    const given = /^Bearer ([\x21-\x7e]+)$/i.exec(authorization ?? '')?.[1] ?? '';
    if (timingSafeEqual(sha256(given), this.#tokenHash)) return undefined;
    return new FlowstepError('UNAUTHORISED', 'the token is missing or wrong', {
      hint: "Send the header Authorization: Bearer TOKEN, with the server's FLOWSTEP_TOKEN.",
    });
  }
}

/** Names by which a server that listens on `listen` is reached, besides loopback; as URLs write them. */
function namesOf(listen: string): string[] {
  if (!WILDCARDS.includes(listen)) return [urlHost(listen).toLowerCase()];
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  return [hostname().toLowerCase(), ...addresses.map(({ address }) => urlHost(address))];
}

/** The address as a URL holds it. */
export function urlHost(address: string): string {
  return address.includes(':') && !address.startsWith('[') ? `[${address}]` : address;
}

/** The address at which a server that listens on `listen` can be reached from this machine. */
export function reachableHost(listen: string): string {
  if (!WILDCARDS.includes(listen)) return urlHost(listen);
  return listen === '0.0.0.0' ? '127.0.0.1' : '[::1]';
}

function parse(url: string): URL | undefined {
  return URL.canParse(url) ? new URL(url) : undefined;
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
