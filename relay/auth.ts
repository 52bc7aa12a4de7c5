import { authenticate, bearerOf, credentialInvalid } from '../shared/credentials.ts';
import { Refusal } from '../shared/errors.ts';
import type { Grant } from '../shared/grant.ts';
import { type Config, isLoopback } from './config.ts';

/** `__Host-`: the browser takes it only over https (or on localhost), from this host, for the whole host. */
export const COOKIE = '__Host-edgewire';

/** What authorisation needs of a request, whichever door it came through. */
export interface Head {
  /** The request target as sent: path and query. */
  target: string;
  header(name: string): string | undefined;
}

/** What decides who a caller is. */
export interface Admission {
  config: Config;
  revoked(grant: Grant): boolean;
}

/**
 * The grant of a stream request: `Authorization: Bearer`, else `?token=`, else the cookie, else what is open to everyone.
 * A cookie counts only where the browser vouches for who asks, since it travels by itself. Throws Refusal.
 */
export async function grantOf(
  head: Head,
  token: string | undefined,
  { config, revoked }: Admission,
  nowMs: number,
): Promise<Grant> {
  const grant = await grantBy(head, token, config, nowMs);
  if (revoked(grant)) throw credentialInvalid();
  return grant;
}

async function grantBy(head: Head, token: string | undefined, config: Config, nowMs: number): Promise<Grant> {
  const checks = { nowMs, loopback: isLoopback(config.host) };
  const presented = bearerOf(head.header('authorization')) ?? token;
  if (presented !== undefined) return authenticate(presented, config, checks);
  const cookie = cookieOf(head.header('cookie'));
  if (cookie === undefined) return authenticate(undefined, config, checks);
  if (head.header('origin') === undefined && head.header('sec-fetch-site') !== 'same-origin') {
    throw new Refusal(
      'origin_refused',
      'A cookie is accepted only from a browser that says which site asks. Send a token instead.',
    );
  }
  return authenticate(cookie, config, checks);
}

/**
 * The origin to answer with CORS headers; undefined for same-origin requests and for clients that are no browser.
 * Throws origin_refused for every other site, `null` included.
 */
export function allowedOrigin(head: Head, config: Config): string | undefined {
  const origin = head.header('origin');
  if (origin === undefined) return undefined;
  if (config.allowedOrigins.has(origin)) return origin;
  if (URL.canParse(origin) && new URL(origin).host === head.header('host')) return undefined;
  throw new Refusal(
    'origin_refused',
    'Pages of this origin may not read here. Add the origin to ALLOWED_ORIGINS of the relay.',
  );
}

export function corsHeaders(origin: string): Record<string, string> {
  return {
    'Access-Control-Allow-Origin': origin,
    'Access-Control-Allow-Credentials': 'true',
    'Access-Control-Expose-Headers': 'Edgewire-Request-Id, Retry-After',
    Vary: 'Origin',
  };
}

function cookieOf(header: string | undefined): string | undefined {
  for (const pair of header?.split(';') ?? []) {
    const [name, ...value] = pair.trim().split('=');
    if (name === COOKIE) return value.join('=');
  }
  return undefined;
}
