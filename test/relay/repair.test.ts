import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { freePort } from '../../dev/ports.ts';
import { startRelay } from '../../dev/relay.ts';
import { type Channel, matches, type Pattern } from '../../shared/channel.ts';
import { comparePositions, parseId } from '../../shared/id.ts';
import { limits } from '../../shared/limits.ts';
import { purge } from '../../shared/scripts/history.ts';
import { publish } from '../../shared/scripts/publish.ts';
import { startWay, type Way } from '../helpers/proxy.ts';
import { connectDirect, type Direct } from '../helpers/redis.ts';
import { type Block, controlsOf, isLive, messagesOf, openStream, type TestStream } from '../helpers/sse.ts';
import { type Relay, type Stack, startStack } from '../helpers/stack.ts';

/**
 * The relay reaches Redis over a way that breaks; publishers do not. Readers are connected once, before anything is
 * published, and are never cut: whatever they should have had must arrive on that one connection.
 */
const SUBSCRIPTIONS = ['channel=a', 'channel=b&channel=c', 'channel=a&channel=c', 'pattern=u:*', 'channel=b&pattern=*'];
const CHANNELS = ['a', 'b', 'c', 'u:1', 'u:2'];

let stack: Stack;
let redis: Direct;
let way: Way;
let relay: Relay;
let readers: { subscription: string; stream: TestStream }[];

beforeAll(async () => {
  stack = await startStack();
  redis = await connectDirect(stack.redis.url);
});
afterAll(async () => {
  redis.close();
  await stack.stop();
});
beforeEach(async () => {
  await redis.call('FLUSHALL', []);
  way = await startWay(stack.redis.port);
  const env = { ...stack.env, PORT: String(await freePort()), REDIS_URL: `redis://127.0.0.1:${way.port}` };
  relay = await startRelay({ env });
  await expect.poll(async () => (await fetch(`${relay.url}/readyz`)).status).toBe(200);
  readers = await Promise.all(
    SUBSCRIPTIONS.map(async (subscription) => {
      const stream = await openStream(`${relay.url}/v1/stream?${subscription}`);
      await stream.until(isLive);
      return { subscription, stream };
    }),
  );
});
afterEach(async () => {
  for (const { stream } of readers) stream.cut();
  await relay.kill();
  await way.stop();
});

/** The publish script without its PUBLISH: what a message looks like that pub/sub loses. */
const silent = { ...publish, lua: publish.lua.replace('send(message.channel, envelope)', '') };

interface Acked {
  id: string;
  channel: string;
}

let serial = 0;
async function post(channel: string, lost = false, length = 10_000): Promise<string> {
  const run = lost ? silent : publish;
  const name = channel as Channel;
  const text = { head: `"channel":"${channel}","type":"t",`, body: `"data":${++serial}}` };
  const seed = Math.random().toString(36).slice(2, 12).padEnd(10, '0');
  const reply = await redis.run(run, { channel: name, ...text, seed, length, keepMs: 600_000, ttlMs: 0 });
  if (reply.status === 'conflict') throw new Error('no key, no conflict');
  return reply.id;
}

/** Publishes for `forMs`, each message lost by pub/sub with probability `loss`; answers what was acknowledged. */
async function load(forMs: number, loss = 0): Promise<Acked[]> {
  const acked: Acked[] = [];
  const until = performance.now() + forMs;
  const publisher = async () => {
    while (performance.now() < until) {
      const channel = CHANNELS[serial % CHANNELS.length]!;
      const id = await post(channel, Math.random() < loss).catch(() => undefined); // unknown outcomes are nobody's due
      if (id) acked.push({ id, channel });
      await pause(1);
    }
  };
  await Promise.all([publisher(), publisher(), publisher(), publisher()]);
  return acked;
}

function hears(subscription: string, channel: string): boolean {
  const query = new URLSearchParams(subscription);
  if (query.getAll('channel').includes(channel)) return true;
  return query.getAll('pattern').some((pattern) => matches(pattern as Pattern, channel as Channel));
}

/** Waits until every reader has everything, then counts what is wrong. */
async function verdict(acked: Acked[]) {
  const total = { due: 0, lost: 0, doubled: 0, turned: 0, alarms: 0 };
  for (const { subscription, stream } of readers) {
    const missing = new Set(acked.filter(({ channel }) => hears(subscription, channel)).map(({ id }) => id));
    total.due += missing.size;
    const seen = new Set<string>();
    const newest = new Map<string, string>();
    let at = 0;
    let cursor = '0-0-0';
    const read = (blocks: Block[]) => {
      for (; at < blocks.length; at++) {
        const { id, data } = blocks[at]!;
        if (id !== undefined && turnsRound(cursor, id)) total.turned++; // a cursor never moves back
        if (id !== undefined) cursor = id;
        if (id === undefined || data === undefined) continue;
        const message = JSON.parse(data);
        if (seen.has(message.id)) total.doubled++;
        if (turnsRound(newest.get(message.channel) ?? '0-0-0', message.id)) total.turned++;
        newest.set(message.channel, message.id);
        seen.add(message.id);
        missing.delete(message.id);
      }
      return missing.size === 0;
    };
    await stream.until(read, 12_000).catch(() => undefined);
    total.lost += missing.size;
    total.alarms += controlsOf(stream.blocks, 'gap').length + controlsOf(stream.blocks, 'reset').length;
  }
  return total;
}

function turnsRound(before: string, after: string): boolean {
  return comparePositions(parseId(before)!, parseId(after)!) > 0;
}

async function metric(name: string): Promise<number> {
  const text = await (await fetch(`${relay.url}/metrics`)).text();
  return Number(new RegExp(`^edgewire_${name} (\\S+)$`, 'm').exec(text)?.[1] ?? Number.NaN);
}

const nothingWrong = { lost: 0, doubled: 0, turned: 0, alarms: 0 };

describe('readers that stay connected lose nothing', () => {
  test('when pub/sub drops every hundredth message', async () => {
    const acked = await load(2_500, 0.01);
    const counted = await verdict(acked);
    expect(counted).toMatchObject(nothingWrong);
    expect(await metric('repairs_total{kind="hole"}')).toBeGreaterThan(5);
    expect(counted.due).toBeGreaterThan(1_000);
  });

  test('when pub/sub drops the last message of a channel, which only the audit can see', async () => {
    await post('a');
    const id = await post('a', true);
    expect(await verdict([{ id, channel: 'a' }])).toMatchObject(nothingWrong);
  });

  test('when the connections to Redis are cut again and again', async () => {
    const loading = load(4_000);
    for (let i = 0; i < 8; i++) {
      await pause(400);
      way.cut();
    }
    expect(await verdict(await loading)).toMatchObject(nothingWrong);
    expect(await metric('resubscribed_total')).toBeGreaterThan(2);
  });

  test('when Redis drops the subscription by itself', async () => {
    const loading = load(2_000);
    for (let i = 0; i < 4; i++) {
      await pause(400);
      await redis.call('CLIENT', ['KILL', 'TYPE', 'pubsub']);
    }
    expect(await verdict(await loading)).toMatchObject(nothingWrong);
  });

  test('when the connections die without closing', async () => {
    const loading = load(6_000);
    await pause(500);
    way.deaden();
    const acked = await loading;
    expect(await verdict(acked)).toMatchObject(nothingWrong);
    expect(await metric('resubscribed_total')).toBeGreaterThan(0);
  });

  test('when Redis stands still for four seconds', async () => {
    const loading = load(2_000);
    await pause(500);
    process.kill(stack.redis.pid, 'SIGSTOP');
    await pause(4_000);
    process.kill(stack.redis.pid, 'SIGCONT');
    const acked = await loading;
    await expect.poll(() => redis.ready).toBe(true);
    expect(await verdict([...acked, ...(await load(500))])).toMatchObject(nothingWrong);
  });
});

test('a relay whose resubscribing takes too long tries again, and is ready in the end', async () => {
  way.slow(limits.redisWaitMsMax + 300);
  way.cut();
  await expect.poll(async () => (await fetch(`${relay.url}/readyz`)).status, { timeout: 10_000 }).toBe(503);
  await pause(limits.redisWaitMsMax + 1_500); // long enough for one attempt to have timed out
  way.slow(0);
  await expect.poll(async () => (await fetch(`${relay.url}/readyz`)).status, { timeout: 15_000 }).toBe(200);
  expect(await verdict(await load(500))).toMatchObject(nothingWrong);
});

test('what history has no more when a repair needs it is told as a gap, by every reader concerned', async () => {
  await post('a');
  const lost = await post('a', true);
  await redis.run(purge, { channel: 'a' as Channel });
  const after = await post('a');
  const concerned = readers.filter(({ subscription }) => hears(subscription, 'a'));
  for (const { stream } of concerned) {
    await stream.until((blocks) => messagesOf(blocks).some((m) => m.id === after));
    expect(controlsOf(stream.blocks, 'gap')).toHaveLength(1);
    expect(messagesOf(stream.blocks).some((m) => m.id === lost)).toBe(false);
  }
  expect(concerned.length).toBeGreaterThan(1);
});

test('what was not kept and pub/sub lost is told as a gap, and the channel goes on', async () => {
  const ids = [
    await post('a', false, 0),
    await post('a', true, 0),
    await post('a', false, 0),
    await post('a', false, 0),
  ];
  for (const { subscription, stream } of readers) {
    if (!hears(subscription, 'a')) continue;
    await stream.until((blocks) => messagesOf(blocks).some((m) => m.id === ids[3]));
    expect(controlsOf(stream.blocks, 'gap').map(({ channel, reason }) => `${channel} ${reason}`)).toEqual([
      'a not-kept',
    ]);
    expect(
      messagesOf(stream.blocks)
        .filter((m) => m.channel === 'a')
        .map((m) => m.id),
    ).toEqual([ids[0], ids[2], ids[3]]);
  }
});
