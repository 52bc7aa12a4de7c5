import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Channel } from '../../shared/channel.ts';
import { type Asked, keptAlive, send, sendBytes, wire } from './http.ts';
import { credentials, headers } from './tables/credentials.ts';
import { json } from './tables/row.ts';
import { furnish, startWorld, type World } from './world.ts';

let world: World;
/** What was sent and must be in no log line: credentials, and words that mark bodies, queries and cookies. */
const secrets = new Set<string>();
let sent = 0;

beforeAll(async () => {
  world = await startWorld({ edge: true, relayEnv: { LOG_LEVEL: 'trace' } });
  await furnish(world);
});
afterAll(async () => {
  keptAlive.destroy();
  await world.stop();
});

function marked(): string {
  const word = `mark${randomBytes(12).toString('hex')}`;
  secrets.add(word);
  return word;
}

async function shoot(base: string, asked: Asked): Promise<void> {
  sent++;
  const answer = await send(base, asked);
  if (answer.status >= 400) expect([...secrets].filter((secret) => answer.body.includes(secret))).toEqual([]);
}

/** Every way in which a credential can be shown, at the routes that would look at it. */
async function show(authorization: string): Promise<void> {
  const bare = authorization.replace(/^\w+ +/, '');
  if (bare.length > 8 && !/^\.+$/.test(bare) && bare !== 'garbage') secrets.add(bare);
  const query = encodeURIComponent(bare);
  const channel = '/v1/channels/shop:1/messages';
  const Authorization = authorization;
  const Cookie = `__Host-edgewire=${bare}; other=${marked()}`;
  const key = { 'Idempotency-Key': marked(), 'Edgewire-Meta-a': marked() };
  for (const asked of [
    { method: 'POST', path: channel, headers: { Authorization, ...json, ...key }, body: `"${marked()}"` },
    { method: 'POST', path: channel, headers: { Authorization, ...json, ...key }, body: `{"${marked()}` },
    { method: 'POST', path: `${channel}?token=${query}&${marked()}=1`, headers: { ...json, Cookie }, body: '1' },
    { method: 'POST', path: '/v1/tokens', headers: { Authorization, ...json }, body: `{"sub":"${marked()}","x":1}` },
    { path: `${channel}?after=${marked()}`, headers: { Authorization, Cookie } },
    { path: `/v1/nothing?key=${query}`, headers: { Authorization } },
  ]) {
    await shoot(world.edge, asked);
  }
  for (const asked of [
    { path: `/v1/stream?channel=shop:1&since=${marked()}`, headers: { Authorization } },
    { path: '/v1/stream?channel=shop:1', headers: { Authorization, 'Last-Event-ID': marked() } },
    { path: `/v1/stream?channel=open:1&token=${query}` },
    { path: '/v1/stream?channel=open:1', headers: { Cookie, 'Sec-Fetch-Site': 'same-origin' } },
    { path: '/v1/stream?channel=open:1', headers: { Cookie } },
    { method: 'POST', path: '/v1/session', headers: { Authorization } },
    { method: 'POST', path: '/redis', headers: { Authorization }, body: `["GET","${marked()}"]` },
    { method: 'POST', path: `/redis?_token=${query}`, body: `["${marked()}` },
    { path: `/v1/nothing?token=${query}`, headers: { Authorization, Cookie } },
  ]) {
    await shoot(world.relay, asked);
  }
}

/** Lines of the program and of what runs it: none may hold a secret. */
function leaks(output: string): string[] {
  const found = output.split('\n').filter((line) => [...secrets].some((secret) => line.includes(secret)));
  // A red test must not become the leak.
  return found.map((line) =>
    [...secrets].reduce((text, secret) => text.replaceAll(secret, '<secret>'), line).slice(0, 300),
  );
}

describe('no log line holds a key, a secret, a token, a cookie, a body or a query string', () => {
  test('of good and bad credentials in headers, queries and cookies', async () => {
    const good = [...Object.values(world.keys), world.token(), world.pairToken(), world.stack.restToken];
    for (const credential of good) await show(`Bearer ${credential}`);
    for (const [, authorization] of [...credentials, ...headers]) await show(authorization(world));
    expect(leaks(`a line\nwith ${[...secrets].at(-1)}`)).toEqual(['with <secret>']); // what follows would see one
    secrets.add(world.forge.hs).add(world.forge.hashOfRoot);
    expect(sent).toBeGreaterThan(1000);
    expect(leaks(world.stack.relay.output())).toEqual([]);
    expect(leaks(world.stack.edge!.output())).toEqual([]);
    expect(world.stack.relay.output()).not.toMatch(/token=|cookie|Bearer|eyJ|ew_prod_|ew_dev_/i);
    expect(world.stack.edge!.output()).not.toMatch(/token=|cookie|Bearer|eyJ|ew_prod_|ew_dev_/i);
  });

  test('of faults on our side: a damaged channel, broken bytes, bodies that break off', async () => {
    const { redis } = world;
    const Authorization = `Bearer ${world.keys.root}`;
    await redis.call('SET', [redis.keys.stream('shop:damaged' as Channel), 'not a stream']);
    const path = '/v1/channels/shop:damaged/messages';
    const damaged = await send(world.edge, {
      method: 'POST',
      path: `${path}?key=${marked()}`,
      headers: { Authorization, ...json, 'Idempotency-Key': marked() },
      body: `"${marked()}"`,
    });
    expect([damaged.status, JSON.parse(damaged.body).code]).toEqual([500, 'channel_damaged']);
    await send(world.edge, { path: `${path}?limit=7`, headers: { Authorization } });
    const broken = {
      method: 'POST',
      path: '/v1/channels/shop:1/messages',
      headers: { Authorization, ...json, 'Content-Length': '900' },
      body: `"${marked()}`,
    };
    await sendBytes(world.edge, wire(broken), { half: true, quietMs: 500 });
    await sendBytes(world.edge, `POST /${marked()} HTTP/9\r\nAuthorization: ${Authorization}\r\n\r\n`, {
      quietMs: 500,
    });
    await sendBytes(world.relay, `GET /v1/stream?token=${marked()} HTTP/9\r\nAuthorization: ${Authorization}\r\n\r\n`, {
      quietMs: 500,
    });
    await expect.poll(() => world.stack.edge!.output(), { timeout: 10_000 }).toMatch(/channel_damaged/); // or this test would see nothing
    expect(leaks(world.stack.relay.output())).toEqual([]);
    expect(leaks(world.stack.edge!.output())).toEqual([]);
  });

  test('of Redis going away while requests are under way', async () => {
    const Authorization = `Bearer ${world.keys.root}`;
    await world.stack.redis.kill();
    const path = '/v1/channels/shop:1/messages';
    const away = await send(world.edge, {
      method: 'POST',
      path: `${path}?key=${marked()}`,
      headers: { Authorization, ...json, 'Idempotency-Key': marked() },
      body: `"${marked()}"`,
    });
    expect([away.status, JSON.parse(away.body).code]).toEqual([503, 'redis_unavailable']);
    await send(world.relay, { path: `/v1/stream?channel=shop:1&token=${world.keys.root}` });
    await send(world.relay, {
      method: 'POST',
      path: '/redis',
      headers: { Authorization: `Bearer ${world.stack.restToken}` },
      body: '["PING"]',
    });
    await expect
      .poll(() => world.stack.relay.output(), { timeout: 10_000 })
      .toMatch(/Redis connection|subscription to Redis is lost/);
    expect(leaks(world.stack.relay.output())).toEqual([]);
    expect(leaks(world.stack.edge!.output())).toEqual([]);
  });

  test('and no answer of the console, the metrics or the document holds one but the console key of development', async () => {
    for (const path of ['/metrics', '/openapi.json', '/healthz', '/readyz']) {
      const { body } = await send(world.relay, { path });
      expect([...secrets].filter((secret) => body.includes(secret))).toEqual([]);
    }
    const page = (await send(world.relay, { path: '/console' })).body.replaceAll(world.stack.publishKey, '');
    expect([...secrets].filter((secret) => page.includes(secret))).toEqual([]);
  });
});
