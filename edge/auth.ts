import { authenticate, bearerOf } from '../shared/credentials.ts';
import { Refusal } from '../shared/errors.ts';
import type { Grant } from '../shared/grant.ts';
import type { Edge, Middleware } from './context.ts';

/** The hosts at which development keys count: a request that names one came from this machine. */
const loopback: ReadonlySet<string> = new Set(['127.0.0.1', 'localhost', '[::1]']);

/** Finds out who calls, from `Authorization: Bearer` and nothing else. Each route then demands what it needs. */
export function authenticated(edge: Edge): Middleware {
  return async (c, next) => {
    const grant = await authenticate(bearerOf(c.req.header('Authorization')), edge.settings, {
      nowMs: edge.nowMs(),
      loopback: loopback.has(new URL(c.req.url).hostname),
    });
    c.set('grant', grant);
    await next();
  };
}

/** For routes that are open to nobody without a credential, whatever they name. */
export function demandCredential(grant: Grant): void {
  if (grant.kind !== 'anonymous') return;
  throw new Refusal('credential_missing', 'Send a key or token: Authorization: Bearer <...>.', {
    headers: { 'WWW-Authenticate': 'Bearer realm="edgewire"' },
  });
}

/** Only a key may go on: a token that could make tokens would never end. */
export function demandKey(grant: Grant): void {
  demandCredential(grant);
  if (grant.kind === 'token') throw new Refusal('not_granted', 'A token may not mint tokens. Use an API key.');
}
