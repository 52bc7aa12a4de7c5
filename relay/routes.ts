import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Hono } from 'hono';
import type { Channel } from '../shared/channel.ts';
import { Refusal } from '../shared/errors.ts';
import type { Grant } from '../shared/grant.ts';
import { allowedOrigin, COOKIE, corsHeaders, grantOf, type Head } from './auth.ts';
import { type Config, isLoopback } from './config.ts';
import { createDegradedDoor } from './degraded.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import { describeRelay } from './openapi.ts';
import type { Warning } from './policy.ts';
import { problemOf } from './problem.ts';
import type { Commands } from './redis.ts';
import { createRestDoor } from './rest.ts';

export interface RouteTools {
  config: Config;
  redis: Commands;
  metrics: Metrics;
  log: Log;
  /** Hands a message that no history holds to whoever reads its channel now; answers how many. */
  pass(channel: Channel, json: string): number;
  /** Whether a stream that begins now would hear everything. */
  ready(): boolean;
  /** What is wrong and does not stop it. */
  warnings(): readonly Warning[];
  revoked(grant: Grant): boolean;
}

/** Everything but the stream itself. */
export function createRoutes(tools: RouteTools): Hono {
  const { config, redis, metrics } = tools;
  const app = new Hono();

  app.get('/healthz', (c) => c.json({ status: 'ok' }));
  app.get('/readyz', (c) => {
    const status = tools.ready() ? 'ready' : 'redis_away';
    return c.json({ status, warnings: tools.warnings() }, status === 'ready' ? 200 : 503);
  });
  app.get('/metrics', async (c) =>
    c.text(await metrics.registry.metrics(), 200, { 'Content-Type': metrics.registry.contentType }),
  );
  app.get('/openapi.json', (c) => c.json(describeRelay()));

  app.use('/v1/*', async (c, next) => {
    const origin = allowedOrigin(honoHead(c.req), config);
    if (c.req.method === 'OPTIONS' && origin) {
      return c.body(null, 204, {
        ...corsHeaders(origin),
        'Access-Control-Allow-Methods': 'GET, POST, DELETE',
        'Access-Control-Allow-Headers': 'Authorization, Last-Event-ID, Content-Type',
        'Access-Control-Max-Age': '600',
      });
    }
    await next();
    if (origin) for (const [name, value] of Object.entries(corsHeaders(origin))) c.header(name, value);
    return undefined;
  });
  app.post('/v1/session', async (c) => {
    const head = honoHead(c.req);
    if (head.header('authorization') === undefined) {
      throw new Refusal('credential_missing', 'Send the token to keep as Authorization: Bearer <token>.');
    }
    const grant = await grantOf(head, undefined, tools, Date.now());
    if (grant.kind !== 'token')
      throw new Refusal('not_granted', 'Only tokens are kept in a cookie; keys stay on servers.');
    const seconds = Math.max(0, Math.floor((grant.expiresMs! - Date.now()) / 1000));
    const token = head.header('authorization')!.replace(/^Bearer +/i, '');
    return c.body(null, 204, { 'Set-Cookie': `${COOKIE}=${token}; ${COOKIE_RULES}; Max-Age=${seconds}` });
  });
  app.delete('/v1/session', (c) => c.body(null, 204, { 'Set-Cookie': `${COOKIE}=; ${COOKIE_RULES}; Max-Age=0` }));
  if (config.degradedToken) app.route('/degraded', createDegradedDoor(config.degradedToken, tools.pass));
  if (config.restToken) app.route('/redis', createRestDoor(redis, config.keys, config.restToken));
  if (config.console) serveConsole(app, config.console);

  const served: Record<string, string> = {
    '/v1/stream': 'GET',
    '/v1/session': 'POST, DELETE',
    '/healthz': 'GET, HEAD',
    '/readyz': 'GET, HEAD',
    '/metrics': 'GET, HEAD',
    '/openapi.json': 'GET, HEAD',
    ...(config.console && { '/console': 'GET, HEAD' }),
  };
  app.notFound((c) => {
    const allow = served[c.req.path];
    // A method that is served comes here by another way of writing its path, which only a URL parser makes the same.
    const refusal =
      allow && !allow.split(', ').includes(c.req.method)
        ? new Refusal('method_not_allowed', `Use ${allow}.`, { headers: { Allow: allow } })
        : new Refusal('route_unknown', 'See /openapi.json for what is served here; publishing is at the edge.');
    return problem(refusal);
  });
  app.onError((error) => problem(error));
  return app;

  function problem(error: unknown): Response {
    const { status, headers, body } = problemOf(error, tools);
    return new Response(body, { status, headers });
  }
}

const COOKIE_RULES = 'Path=/; Secure; HttpOnly; SameSite=None';

function honoHead(req: { url: string; header(name: string): string | undefined }): Head {
  return { target: req.url, header: (name) => req.header(name) };
}

/**
 * One page without foreign assets; a nonce per answer, so that nothing injected into it would run. The key stands in it only
 * for a Host of this machine: a foreign page may have its own name lead here (DNS rebinding) and read what it is given.
 */
function serveConsole(app: Hono, { edgeUrl, publishKey }: NonNullable<Config['console']>): void {
  const page = readFileSync(new URL('./console.html', import.meta.url), 'utf8');
  app.get('/', (c) => c.redirect('/console'));
  app.get('/console', (c) => {
    const isOurs = isLoopback(new URL(c.req.url).hostname.replace(/^\[|\]$/g, ''));
    const key = (isOurs && publishKey) || null;
    const settings = JSON.stringify({ edgeUrl, publishKey: key }).replaceAll('<', '\\u003c');
    const nonce = randomBytes(16).toString('base64');
    const html = page.replaceAll('__NONCE__', nonce).replace('/*CONFIG*/null', () => settings);
    return c.html(html, 200, {
      'Cache-Control': 'no-store',
      'Referrer-Policy': 'no-referrer',
      'Content-Security-Policy': `default-src 'none'; style-src 'nonce-${nonce}'; script-src 'nonce-${nonce}'; connect-src 'self' ${edgeUrl}; img-src data:; base-uri 'none'; frame-ancestors 'none'`,
    });
  });
}
