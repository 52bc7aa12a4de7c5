import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { freePort } from '../../dev/ports.ts';
import { startRedis } from '../../dev/redis.ts';
import { post } from '../helpers/publish.ts';
import { connectDirect } from '../helpers/redis.ts';
import { isLive, openStream, type TestStream } from '../helpers/sse.ts';
import { type Relay, type Stack, startStack } from '../helpers/stack.ts';

const DEGRADED_TOKEN = 'shared-by-edge-and-relays-32-chars';

let stack: Stack;
let second: Relay;
let dir: string;
let streams: TestStream[];

beforeAll(async () => {
  const ports = [await freePort(), await freePort(), await freePort()];
  const [one, two, nobody] = ports.map((port) => `http://127.0.0.1:${port}`);
  stack = await startStack({
    edge: true,
    persist: true,
    relayEnv: { PORT: String(ports[0]), DEGRADED_TOKEN, HEARTBEAT_MS: '500' },
    edgeVars: {
      UPSTASH_REDIS_REST_URL: `${one}/redis`,
      DEGRADED_URLS: `${one}, ${two}/, ${nobody}`,
      DEGRADED_TOKEN,
    },
  });
  second = await stack.addRelay({ PORT: String(ports[1]) });
  const direct = await connectDirect(stack.redis.url);
  [, dir] = (await direct.call('CONFIG', ['GET', 'dir'])) as [string, string];
  direct.close();
  streams = await Promise.all([
    openStream(`${stack.relayUrl}/v1/stream?channel=till`),
    openStream(`${second.url}/v1/stream?pattern=ti*`),
    openStream(`${second.url}/v1/stream?channel=other`),
  ]);
  await Promise.all(streams.map((stream) => stream.until(isLive)));
});
afterAll(() => stack.stop());

const publish = (body: string, headers: Record<string, string> = {}) =>
  post(stack, '/v1/channels/till/messages', body, headers);

async function historyOf(channel: string): Promise<unknown[]> {
  return (await (await fetch(`${stack.edgeUrl}/v1/channels/${channel}/messages?order=asc`)).json()).items;
}

/** The degraded messages that a stream has, which must be blocks of nothing but data. */
function degradedOf(stream: TestStream): { data: unknown }[] {
  const blocks = stream.blocks.filter((block) => block.data?.includes('"degraded":true'));
  for (const block of blocks) expect(Object.keys(block)).toEqual(['data']);
  return blocks.map((block) => JSON.parse(block.data!));
}

test('while Redis is away relays deliver to who reads now, without an id; nothing of it is in history, then or later', async () => {
  const before = await (await publish('"before"')).json();
  const [first, pattern, other] = streams as [TestStream, TestStream, TestStream];
  await Promise.all(
    [first, pattern].map((s) => s.until((blocks) => blocks.some(({ id, data }) => id === before.id && data))),
  );
  await stack.redis.kill();

  const response = await publish('{"n":1}', {
    'Edgewire-Type': 'sale',
    'Edgewire-Ttl': '1m',
    'Idempotency-Key': 'n-1',
  });
  const answer = await response.json();
  expect(response.status).toBe(202);
  expect(answer).toEqual({ channel: 'till', timestamp: expect.any(Number), stored: false, degraded: true });
  const { timestamp } = answer;
  const message = {
    degraded: true,
    channel: 'till',
    type: 'sale',
    timestamp,
    expires: timestamp + 60_000,
    data: { n: 1 },
  };
  await Promise.all([first, pattern].map((stream) => stream.until(() => degradedOf(stream).length > 0)));
  for (const stream of [first, pattern]) {
    expect(degradedOf(stream)).toEqual([message]);
    expect(stream.lastId).toBe(before.id);
  }
  const batch = await post(stack, '/v1/messages', '[{"channel":"other","data":"<&>"},{"channel":"?","data":2}]');
  expect(batch.status).toBe(200);
  expect((await batch.json()).results).toMatchObject([
    { channel: 'other', stored: false, degraded: true },
    { problem: { code: 'envelope_invalid' } },
  ]);
  await other.until(() => degradedOf(other).length > 0);
  expect(degradedOf(other)).toMatchObject([{ channel: 'other', data: '<&>' }]);
  expect((await publish('{')).status).toBe(400);
  expect((await post({ ...stack, publishKey: 'ew_dev_no_body' }, '/v1/channels/till/messages', '1')).status).toBe(401);
  expect((await fetch(`${stack.edgeUrl}/v1/channels/till/messages`)).status).toBe(503);

  const again = await startRedis({ dir, port: stack.redis.port });
  try {
    await vi.waitUntil(async () => (await fetch(`${stack.relayUrl}/readyz`)).ok, { timeout: 15_000, interval: 20 });
    const kept = await publish('{"n":1}', { 'Edgewire-Type': 'sale', 'Edgewire-Ttl': '1m', 'Idempotency-Key': 'n-1' });
    const { id } = await kept.json();
    expect(kept.status).toBe(201); // its key knows of nothing that was not kept
    expect(await historyOf('till')).toMatchObject([{ id: before.id }, { id, data: { n: 1 } }]);
    expect(await historyOf('other')).toEqual([]);
    await first.until((blocks) => blocks.some((block) => block.id === id && block.data));
    expect(degradedOf(first)).toHaveLength(1);
    const resumed = await openStream(`${stack.relayUrl}/v1/stream?channel=till`, { 'Last-Event-ID': before.id });
    await resumed.until((blocks) => blocks.some((block) => block.id === id && block.data));
    expect(degradedOf(resumed)).toEqual([]);
    expect(resumed.blocks.filter((block) => block.event === 'edgewire.gap')).toEqual([]);
    resumed.cut();
  } finally {
    await again.kill();
  }
});

test('without a relay that takes it a publish is 503, and nothing is claimed', async () => {
  for (const relay of [stack.relay, second]) process.kill(relay.pid, 'SIGSTOP');
  try {
    const began = performance.now();
    const response = await publish('1');
    expect([response.status, response.headers.get('Retry-After')]).toEqual([503, '1']);
    expect((await response.json()).code).toBe('redis_unavailable');
    expect(performance.now() - began).toBeLessThan(6_000);
  } finally {
    for (const relay of [stack.relay, second]) process.kill(relay.pid, 'SIGCONT');
  }
});

test('the door takes lines of its own kind from who has the token, whole or not at all, and is off without one', async () => {
  const [first] = streams as [TestStream];
  const knock = (body: string, token = DEGRADED_TOKEN, url = stack.relayUrl) =>
    fetch(`${url}/degraded`, { method: 'POST', headers: { Authorization: `Bearer ${token}` }, body });
  const had = degradedOf(first).length;
  const good = '{"channel":"till","degraded":true,"data":"good"}';
  expect((await knock(good, 'x'.repeat(34))).status).toBe(401);
  for (const bad of [
    '{',
    '1',
    'null',
    '{"channel":"till","data":1}',
    '{"channel":"till","degraded":true,"id":"a-1-1","data":1}',
    '{"channel":"no channel","degraded":true,"data":1}',
    '{"channel":"till",\r"degraded":true,"data":1}',
  ]) {
    expect((await knock(`${good}\n${bad}\n`)).status, bad).toBe(400);
  }
  expect((await knock(`${good}\n`.repeat(1_001))).status).toBe(413);
  expect(await (await knock(good)).json()).toEqual({ readers: 1 });
  await first.until(() => degradedOf(first).length > had);
  expect(degradedOf(first)).toHaveLength(had + 1);
});

test('is off where no token is set', async () => {
  const redis = await startRedis({ dir, port: stack.redis.port });
  try {
    const shut = await stack.addRelay({ DEGRADED_TOKEN: '' });
    const answer = await fetch(`${shut.url}/degraded`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${DEGRADED_TOKEN}` },
      body: '',
    });
    expect(answer.status).toBe(404);
  } finally {
    await redis.kill();
  }
});
