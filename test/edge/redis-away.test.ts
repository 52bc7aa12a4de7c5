import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { startRedis } from '../../dev/redis.ts';
import { layWire, type Wire } from '../clients/wire.ts';
import { post } from '../helpers/publish.ts';
import { connectDirect, type Direct } from '../helpers/redis.ts';
import { openStream } from '../helpers/sse.ts';
import { type Redis, type Stack, startStack } from '../helpers/stack.ts';

let wire: Wire; // between the relay and Redis
let stack: Stack;
let redis: Redis;
let dir: string;

beforeAll(async () => {
  wire = await layWire('redis://nowhere:1');
  wire.open = false;
  const relayEnv = { REDIS_URL: wire.url.replace('http', 'redis') };
  stack = await startStack({ edge: true, persist: true, redisAway: true, relayEnv });
  redis = stack.redis;
  wire.target = redis.url;
  wire.open = true;
  await ready();
  await direct(async (commands) => {
    [, dir] = (await commands.call('CONFIG', ['GET', 'dir'])) as [string, string];
  });
});
afterAll(async () => {
  await redis.kill();
  await stack.stop();
  await wire.close();
});

async function direct<T>(work: (commands: Direct) => Promise<T>): Promise<T> {
  const commands = await connectDirect(redis.url);
  try {
    return await work(commands);
  } finally {
    commands.close();
  }
}

const single = (body: string, headers: Record<string, string> = {}) =>
  post(stack, '/v1/channels/till/messages', body, headers);
const batch = (body: string, headers: Record<string, string> = {}) =>
  post(stack, '/v1/messages', `[{"channel":"till","data":${body}}]`, headers);

/** 503 that says when to come back and what is not known, within the time that the edge gives Redis and its own tries. */
async function expectAway(asking: Promise<Response>): Promise<void> {
  const start = performance.now();
  const response = await asking;
  const answer = await response.json();
  expect(answer).toMatchObject({ status: 503, code: 'redis_unavailable' });
  expect(response.status).toBe(503);
  expect(answer.detail).toContain('unknown');
  expect(Number(response.headers.get('Retry-After'))).toBeGreaterThan(0);
  expect(performance.now() - start).toBeLessThan(4_500);
}

async function history(): Promise<{ id: string; data: unknown }[]> {
  return (await (await fetch(`${stack.edgeUrl}/v1/channels/till/messages?order=asc`)).json()).items;
}

async function ready(): Promise<void> {
  await vi.waitUntil(async () => (await fetch(`${stack.relayUrl}/readyz`)).ok, { timeout: 15_000, interval: 10 });
}

test('while Redis is gone every publish is 503, and none of them appears when it is back', async () => {
  const reader = await openStream(`${stack.relayUrl}/v1/stream?channel=till`);
  const before = await (await single('"before"')).json();
  await redis.kill();
  await Promise.all([single, batch].flatMap((publish) => [1, 2, 3].map((i) => expectAway(publish(`"lost ${i}"`)))));
  await expectAway(single('"lost"', { 'Idempotency-Key': 'sale-1' }));
  await expectAway(fetch(`${stack.edgeUrl}/v1/channels/till/messages`)); // reading is no better off

  redis = await startRedis({ dir, port: redis.port });
  await ready();
  const kept = await history();
  expect(kept.map(({ data }) => data)).toEqual(['before']);
  const last = await direct((commands) => commands.call('HGET', [commands.keys.last, 'till']));
  expect(`${before.id.split('-')[0]}-${last}`).toBe(before.id);

  const after = await single('"lost"', { 'Idempotency-Key': 'sale-1' });
  const { id } = await after.json();
  expect(after.status).toBe(201);
  await reader.until((blocks) => blocks.some((block) => block.id === id && block.data !== undefined));
  const heard = reader.blocks.filter((block) => block.id && block.data).map((block) => block.id);
  expect(heard).toEqual([before.id, id]);
  reader.cut();
});

test('while nothing leads to Redis every publish is 503, and nothing is made up for when something does', async () => {
  const kept = await history();
  wire.open = false;
  wire.cut();
  await Promise.all([expectAway(single('"lost"')), expectAway(batch('"lost"'))]);
  wire.open = true;
  await ready();
  const { id } = await (await single('"after"')).json(); // whatever had waited would have come before it
  expect((await history()).slice(kept.length)).toMatchObject([{ id, data: 'after' }]);
});

test('while Redis hangs every publish is 503 of unknown outcome, and a repetition with its key is one message', async () => {
  const sale = { 'Idempotency-Key': 'sale-2' };
  const sales = { 'Idempotency-Key': 'sales-3' };
  const kept = await history();
  process.kill(redis.pid, 'SIGSTOP');
  try {
    await Promise.all([expectAway(single('"slow"', sale)), expectAway(batch('"slow too"', sales))]);
  } finally {
    process.kill(redis.pid, 'SIGCONT');
  }
  await ready();
  const one = await (await single('"slow"', sale)).json();
  const many = await (await batch('"slow too"', sales)).json();
  const added = (await history()).slice(kept.length);
  expect(added.map(({ id }) => id).sort()).toEqual([one.id, many.results[0].id].sort());
  expect(added.map(({ data }) => data).sort()).toEqual(['slow', 'slow too']);
});
