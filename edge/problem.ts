import type { ErrorHandler, NotFoundHandler } from 'hono';
import type { Router } from 'hono/router';
import type { RouterRoute } from 'hono/types';
import { credentialInvalid } from '../shared/credentials.ts';
import { Refusal } from '../shared/errors.ts';
import { RedisAway, RedisRefused, type RefusedKind } from '../shared/redis.ts';
import type { Edge, EdgeContext, Vars } from './context.ts';

/** The one place that answers an error: whatever a route or a middleware throws becomes RFC 9457 here. */
export function answerError(edge: Edge): ErrorHandler<Vars> {
  return (error, c) => {
    const refusal = refusalOf(error);
    if (refusal.status >= 500) report(edge, c, refusal, error);
    return problemResponse(refusal, c.get('requestId'));
  };
}

/** What no route answers: 405 where another method is served at the path, else 404. */
export function answerUnserved(router: Router<[unknown, RouterRoute]>): NotFoundHandler<Vars> {
  const serves = (method: string, path: string) =>
    router.match(method, path)[0].some(([[, route]]) => route.method === method);
  return (c) => {
    const served = ['GET', 'POST', 'DELETE'].filter((method) => serves(method, c.req.path));
    const allow = served.flatMap((method) => (method === 'GET' ? ['GET', 'HEAD'] : [method])).join(', ');
    const refusal = allow
      ? new Refusal('method_not_allowed', `Use ${allow} here.`, { headers: { Allow: allow } })
      : new Refusal(
          'route_unknown',
          'Nothing is served at this path. Streams are at the relay; GET /openapi.json lists what is here.',
        );
    return problemResponse(refusal, c.get('requestId'));
  };
}

export function problemResponse(refusal: Refusal, requestId: string): Response {
  return new Response(JSON.stringify(refusal.toProblem(requestId)), {
    status: refusal.status,
    headers: { ...refusal.headers, 'Content-Type': 'application/problem+json' },
  });
}

/** What Redis's own no means to the caller of one message. */
export function refusalOfKind(kind: RefusedKind): Refusal {
  switch (kind) {
    case 'wrongtype':
      return new Refusal(
        'channel_damaged',
        'Something else than a channel lies at a Redis key of this channel. Its operator must remove it.',
      );
    case 'oom':
      return new Refusal('redis_full', 'Nothing was published: Redis takes no more. Repeat the request later.', {
        headers: { 'Retry-After': '30' },
      });
    case 'revoked':
      return credentialInvalid();
    case 'limited': // the routes that publish answer it
    case 'noscript':
    case 'other':
      return broken();
  }
}

function refusalOf(error: unknown): Refusal {
  if (error instanceof Refusal) return error;
  if (error instanceof RedisRefused) return refusalOfKind(error.kind);
  if (error instanceof RedisAway) {
    return new Refusal(
      'redis_unavailable',
      'Redis did not answer, so whether anything was published is unknown. Repeat the request with the same Idempotency-Key.',
      { headers: { 'Retry-After': '1' } },
    );
  }
  return broken();
}

function broken(): Refusal {
  return new Refusal('internal', 'This is a fault of ours. Repeat the request; if it stays, report the request id.');
}

function report(edge: Edge, c: EdgeContext, refusal: Refusal, error: Error): void {
  edge.log({
    level: 'error',
    code: refusal.code,
    requestId: c.get('requestId'),
    method: c.req.method,
    path: c.req.path.slice(0, 300),
    error: error.name,
    // A SyntaxError quotes what could not be parsed, which may be a body.
    detail: error instanceof SyntaxError ? undefined : error.message,
    cause: typeof error.cause === 'string' ? error.cause : undefined,
    // What Redis says needs no stack; what nobody expected does.
    stack:
      refusal.code !== 'internal' ? undefined : error.stack?.split('\n').filter((line) => line.startsWith('    at ')),
  });
}
