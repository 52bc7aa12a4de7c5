/** Faults that were found in other systems of this kind by reading them, each tried on this one. */
import { EventEmitter, once } from 'node:events';
import { createConnection } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { limits } from '../../shared/limits.ts';
import { controlsOf, isLive, messagesOf, openStream, type TestStream } from '../helpers/sse.ts';
import { seconds } from './tables/credentials.ts';
import { furnish, origin, startWorld, type World } from './world.ts';

let world: World;
const open: TestStream[] = [];

beforeAll(async () => {
  world = await startWorld({ relayEnv: { HEARTBEAT_MS: '300' } });
  await furnish(world);
});
afterAll(() => world.stop());
afterEach(() => {
  for (const stream of open.splice(0)) stream.cut();
});

async function read(query: string, headers: Record<string, string> = {}): Promise<TestStream> {
  const stream = await openStream(`${world.relay}/v1/stream?${query}`, {
    Authorization: `Bearer ${world.keys.root}`,
    ...headers,
  });
  open.push(stream);
  return stream;
}

/** `count` messages, published as fast as Redis takes them; their ids. */
async function publishMany(channel: string, count: number, data: (i: number) => unknown = (i) => i): Promise<string[]> {
  const ids: string[] = [];
  for (let i = 0; i < count; i += 500) {
    const size = Math.min(500, count - i);
    ids.push(
      ...(await Promise.all(
        Array.from({ length: size }, (_, n) => world.redis.publish(channel, data(i + n), { length: 100_000 })),
      )),
    );
  }
  return ids;
}

const isDelivered = (id: string) => (stream: TestStream) =>
  stream.until((blocks) => blocks.some((b) => b.id === id && b.data !== undefined), 30_000);

describe('a hub that looks for a cursor among the oldest 10,000 messages only', () => {
  test('would not find a recent one among 12,000: here it does, the newest, and the oldest', async () => {
    const ids = await publishMany('long', 12_000);
    for (const place of [11_990, 11_998, 6_000, 0]) {
      const stream = await read('channel=long', { 'Last-Event-ID': ids[place]! });
      await isDelivered(ids.at(-1)!)(stream);
      expect(messagesOf(stream.blocks).map((m) => m.id)).toEqual(ids.slice(place + 1));
      expect(controlsOf(stream.blocks, 'gap')).toEqual([]);
      expect(controlsOf(stream.blocks, 'reset')).toEqual([]);
      stream.cut();
    }
  });

  test('would answer with the newest id it walked past, as if nothing were missing: here loss is told', async () => {
    const first = await world.redis.publish('short', 0, { length: 10 });
    for (let i = 1; i < 500; i++) await world.redis.publish('short', i, { length: 10 });
    const stream = await read('channel=short', { 'Last-Event-ID': first });
    await stream.until((blocks) => controlsOf(blocks, 'gap').length > 0);
    expect(controlsOf(stream.blocks, 'gap')).toMatchObject([{ channel: 'short', after: first, reason: 'trimmed' }]);
    expect(stream.blocks[0]?.id).toBe(first); // its own place, not one that it has not reached
  });
});

describe('a hub whose replay fills a bounded queue before anything drains it', () => {
  test('would disconnect after 1,000: here 5,000 come by one connection, while more are published', async () => {
    const cursor = await world.redis.publish('burst', 'before');
    const ids = await publishMany('burst', 5_000, (i) => ({ i, text: 'x'.repeat(200) }));
    const stream = await read('channel=burst', { 'Last-Event-ID': cursor });
    const more = await publishMany('burst', 500);
    await isDelivered(more.at(-1)!)(stream);
    const heard = messagesOf(stream.blocks).map((m) => m.id);
    expect(heard).toEqual([...ids, ...more].sort(byPlace));
    expect(controlsOf(stream.blocks, 'bye')).toEqual([]);
  });

  test('would hold all of it in memory: here a reader that reads nothing is owed more than an outbox, and loses nothing', async () => {
    const cursor = await world.redis.publish('slow', 'before');
    const ids = await publishMany('slow', 400, (i) => ({ i, text: 'x'.repeat(20_000) })); // 8 MB
    const { hostname, port } = new URL(world.relay);
    const socket = createConnection({ host: hostname, port: Number(port) });
    socket.pause();
    socket.write(
      `GET /v1/stream?channel=slow HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${world.keys.root}\r\nLast-Event-ID: ${cursor}\r\n\r\n`,
    );
    await once(socket, 'connect');
    const written = async () =>
      Number(/^edgewire_replayed_total (\d+)/m.exec(await (await fetch(`${world.relay}/metrics`)).text())?.[1]);
    await settled(written);
    let text = '';
    const seen = new EventEmitter();
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
      if (text.includes(`id: ${ids.at(-1)}\ndata`)) seen.emit('all');
    });
    const all = once(seen, 'all');
    socket.resume();
    await all;
    socket.destroy();
    expect([...text.matchAll(/^id: (\S+)\ndata/gm)].map((m) => m[1])).toEqual(ids);
  });
});

/** Another relay, which would no longer send a reader away to come back later. */
async function addReadyRelay() {
  const relay = await world.stack.addRelay();
  for (let tries = 0; tries < 500 && !(await fetch(`${relay.url}/readyz`)).ok; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return relay;
}

/** Resolves when a number has stood still. */
async function settled(read: () => Promise<number>): Promise<void> {
  let last = -1;
  for (let tries = 0; tries < 200; tries++) {
    const now = await read();
    if (now === last) return;
    last = now;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function byPlace(a: string, b: string): number {
  const [, aMs, aSeq] = a.split('-').map(Number) as [number, number, number];
  const [, bMs, bSeq] = b.split('-').map(Number) as [number, number, number];
  return aMs - bMs || aSeq - bSeq;
}

describe('a hub that tells of loss in a header', () => {
  test('which no EventSource and no foreign fetch can read: here it is in the stream, of any origin that may read', async () => {
    const first = await world.redis.publish('open:gone', 0, { length: 10 });
    for (let i = 1; i < 300; i++) await world.redis.publish('open:gone', i, { length: 10 });
    const stream = await openStream(`${world.relay}/v1/stream?channel=open:gone`, {
      Origin: origin,
      'Last-Event-ID': first,
    });
    open.push(stream);
    await stream.until((blocks) => controlsOf(blocks, 'gap').length > 0);
    expect(stream.headers['access-control-allow-origin']).toBe(origin);
    expect(Object.keys(stream.headers).filter((name) => /last-event|gap|reset/i.test(name))).toEqual([]);
  });
});

describe('a hub that holds live messages without bound while it replays', () => {
  test('here more than fits is read from history instead: nothing lost, doubled or turned round', async () => {
    const cursor = await world.redis.publish('both', 'before');
    const text = 'x'.repeat(10_000);
    const ids = await publishMany('both', 300, () => text);
    const stream = await read('channel=both', { 'Last-Event-ID': cursor });
    const live = await publishMany('both', Math.ceil((3 * limits.joinBufferBytesMax) / 10_000), () => text);
    await isDelivered(live.at(-1)!)(stream);
    expect(messagesOf(stream.blocks).map((m) => m.id)).toEqual([...ids, ...live].sort(byPlace));
  });
});

describe('a hub that takes an expired cookie for no cookie, where anonymous reading is open', () => {
  const page = { Authorization: '', Origin: origin };
  const cookie = (claims: object) => ({ ...page, Cookie: `__Host-edgewire=${world.token(claims)}` });

  test('would answer 200 and silence: here it is 401, which the page hears of', async () => {
    const { Authorization: _, ...headers } = cookie({ iat: seconds(-700), exp: seconds(-60), channels: ['open:1'] });
    const stream = await openStream(`${world.relay}/v1/stream?channel=open:1`, headers);
    await stream.ended;
    expect(stream.status).toBe(401);
    expect(JSON.parse(stream.blocks[0]!.data!)).toMatchObject({ code: 'credential_invalid' });
    expect(stream.headers['access-control-allow-origin']).toBe(origin);
  });

  test('a token that runs out while it streams ends the stream, saying so, also where nobody needs one', async () => {
    const { Authorization: _, ...headers } = cookie({ iat: seconds(-590), exp: seconds(-3), channels: ['open:1'] }); // within the tolerance for clocks
    const stream = await openStream(`${world.relay}/v1/stream?channel=open:1`, headers);
    await stream.ended;
    expect(stream.status).toBe(200);
    expect(controlsOf(stream.blocks, 'expired')).toHaveLength(1);
    expect(stream.blocks.at(-1)?.event).toBe('edgewire.expired');
  });

  test('without any credential, what is open is open', async () => {
    const stream = await openStream(`${world.relay}/v1/stream?channel=open:1`, { Origin: origin });
    open.push(stream);
    await stream.until(isLive);
  });
});

describe('a hub that puts an id on control events', () => {
  test('moves a cursor onto what history does not hold: here no control event has one, nor any block an empty one', async () => {
    const first = await world.redis.publish('control', 0, { length: 10 });
    for (let i = 1; i < 300; i++) await world.redis.publish('control', i, { length: 10 });
    const seen = [
      await read('channel=control', { 'Last-Event-ID': first }), // open, gap
      await read('channel=control', { 'Last-Event-ID': 'malformed' }), // open, reset
      await read('channel=control', { 'Last-Event-ID': first.replace(/^[^-]+/, 'stranger00') }), // open, reset
      await read('pattern=con*&rewind=5'), // open
    ];
    for (const stream of seen)
      await stream.until((blocks) => blocks.filter((b) => b.id !== undefined && b.data === undefined).length >= 2);
    const relay = await addReadyRelay();
    const leaving = await openStream(`${relay.url}/v1/stream?channel=open:1`);
    await leaving.until(isLive);
    await relay.stop(); // bye
    const blocks = [...seen, leaving].flatMap((stream) => stream.blocks);
    const controls = blocks.filter((block) => block.event !== undefined);
    expect(new Set(controls.map((block) => block.event))).toEqual(
      new Set(['open', 'gap', 'reset', 'bye'].map((name) => `edgewire.${name}`)),
    );
    expect(controls.filter((block) => block.id !== undefined)).toEqual([]);
    expect(blocks.filter((block) => block.id !== undefined && !/^[a-z0-9]+-\d+-\d+$/.test(block.id))).toEqual([]);
  });
});

describe('a hub that delivers concurrent publishes in another order to each reader', () => {
  test('here every reader of a channel, by name or pattern, on either relay, hears one order: that of ids', async () => {
    const other = await addReadyRelay();
    const readers = await Promise.all(
      [
        `${world.relay}/v1/stream?channel=order`,
        `${world.relay}/v1/stream?pattern=ord*`,
        `${other.url}/v1/stream?channel=order`,
        `${other.url}/v1/stream?pattern=*`,
      ].map((url) => openStream(url, { Authorization: `Bearer ${world.keys.root}` })),
    );
    open.push(...readers);
    for (const reader of readers) await reader.until(isLive);
    const ids = (await Promise.all(Array.from({ length: 500 }, (_, i) => world.redis.publish('order', i)))).sort(
      byPlace,
    );
    for (const reader of readers) {
      await isDelivered(ids.at(-1)!)(reader);
      expect(
        messagesOf(reader.blocks)
          .filter((m) => m.channel === 'order')
          .map((m) => m.id),
      ).toEqual(ids);
    }
    await other.stop();
  });
});
