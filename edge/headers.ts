import { Refusal } from '../shared/errors.ts';
import type { Edge, Middleware } from './context.ts';

/** On every answer. Answers differ by credential and moment, so nobody may keep them; and none is to be sniffed as a page. */
export const everywhere = {
  'Cache-Control': 'no-store',
  'X-Content-Type-Options': 'nosniff',
  Vary: 'Origin',
} as const;

/** Names the request, by our own id: one from outside could forge lines in a log. */
export function dressed(edge: Edge): Middleware {
  return async (c, next) => {
    c.set('requestId', edge.uuid());
    await next();
    c.res.headers.set('Edgewire-Request-Id', c.get('requestId'));
    for (const [name, value] of Object.entries(everywhere)) c.res.headers.set(name, value);
  };
}

const allowedMethods = 'GET, HEAD, POST, DELETE';
const allowedHeaders = /^(authorization|content-type|idempotency-key|traceparent|edgewire-[a-z0-9_.-]+)$/;
const exposedHeaders = 'Location, Retry-After, Idempotent-Replayed, RateLimit, RateLimit-Policy, Edgewire-Request-Id';
/** Seconds a browser may remember a preflight; Chromium's own maximum. */
const preflightAgeMax = '7200';

/**
 * CORS for the allowed origins, without cookies (the edge reads none). A foreign origin's preflight is refused; its plain
 * requests are served, since anything but a browser could send them too, but no page can read the answer.
 * Not hono/cors: that answers 204 to every OPTIONS and lets any request header through.
 */
export function cors(allowedOrigins: ReadonlySet<string>): Middleware {
  return async (c, next) => {
    const origin = c.req.header('Origin');
    const allowed = origin !== undefined && allowedOrigins.has(origin);
    const isPreflight = c.req.method === 'OPTIONS' && origin && c.req.header('Access-Control-Request-Method');
    if (isPreflight && !allowed) {
      throw new Refusal('origin_refused', 'Pages of this origin may not call. Add the origin to ALLOWED_ORIGINS.');
    }
    if (isPreflight) {
      const asked = (c.req.header('Access-Control-Request-Headers') ?? '').toLowerCase().split(/[\s,]+/);
      c.res = new Response(null, {
        status: 204,
        headers: {
          'Access-Control-Allow-Methods': allowedMethods,
          'Access-Control-Allow-Headers': asked.filter((name) => allowedHeaders.test(name)).join(', '),
          'Access-Control-Max-Age': preflightAgeMax,
        },
      });
    } else {
      await next();
    }
    if (!allowed) return;
    c.res.headers.set('Access-Control-Allow-Origin', origin);
    if (!isPreflight) c.res.headers.set('Access-Control-Expose-Headers', exposedHeaders);
  };
}
