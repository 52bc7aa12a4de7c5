import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { freePort } from '../../dev/ports.ts';
import { startRelay } from '../../dev/relay.ts';
import { type Channel, matches, type Pattern } from '../../shared/channel.ts';
import { comparePositions, type Id, parseId } from '../../shared/id.ts';
import { startWay } from '../helpers/proxy.ts';
import { connectDirect, type Direct } from '../helpers/redis.ts';
import { isLive, openStream, type TestStream } from '../helpers/sse.ts';
import { type Stack, startStack } from '../helpers/stack.ts';

/**
 * 8 publishers x 5,000 messages over 5 channels, and every fiftieth to a channel that is born with it. Retention: the default,
 * 10,000 messages and one hour, so nothing is trimmed. The relay reaches Redis over a way of 2 ms, which widens the windows.
 * Readers are cut at random blocks and resume by Last-Event-ID. Counted by (reader, id) against what was acknowledged.
 */
const PUBLISHERS = 8;
const MESSAGES = 5_000;
const CHANNELS = ['news', 'room:1', 'room:2', 'user:7', 'user:8'];
const SUBSCRIPTIONS = [
  'channel=news',
  'channel=room:1&channel=user:7',
  'pattern=room:*',
  'pattern=born:*',
  'channel=news&pattern=born:*',
  'channel=news&channel=room:2&channel=user:8&pattern=user:*&pattern=born:*',
  'pattern=*',
  'pattern=born:*&pattern=*:7',
];
const CUTS_PER_READER = 25;

interface Published {
  id: string;
  channel: string;
  /** When the publish began, by performance.now(). */
  began: number;
}

class TestReader {
  readonly subscription: string;
  /** Ids in the order in which they came, over all connections. */
  readonly received: string[] = [];
  /** When it first was told that its stream is open: it must hear of whatever is published from then on. */
  openedAt = Number.POSITIVE_INFINITY;
  cuts = 0;
  alarms = 0;
  private lastId: string | undefined;
  private readonly url: string;

  constructor(relayUrl: string, subscription: string) {
    this.subscription = subscription;
    this.url = `${relayUrl}/v1/stream?${subscription}`;
  }

  hears(channel: string): boolean {
    const query = new URLSearchParams(this.subscription);
    if (query.getAll('channel').includes(channel)) return true;
    return query.getAll('pattern').some((pattern) => matches(pattern as Pattern, channel as Channel));
  }

  /** Reads until `done()`, cut after random numbers of blocks; the first two cuts come before the first message. */
  async run(random: () => number, done: () => boolean): Promise<void> {
    while (!done() || !this.caughtUp()) {
      const stream = await openStream(this.url, this.lastId ? { 'Last-Event-ID': this.lastId } : {});
      const blocks =
        done() || this.cuts >= CUTS_PER_READER
          ? Number.POSITIVE_INFINITY
          : this.cuts < 2
            ? 2
            : 2 + Math.floor(random() * 400);
      await this.read(stream, blocks, done);
      stream.cut();
      this.cuts++;
      await pause(random() * 30);
    }
  }

  private async read(stream: TestStream, most: number, done: () => boolean): Promise<void> {
    let seen = 0;
    const enough = () => {
      for (; seen < Math.min(stream.blocks.length, most); seen++) {
        const { id, data, event } = stream.blocks[seen]!;
        if (id !== undefined) this.lastId = id;
        if (id !== undefined && data !== undefined) this.received.push(id);
        if (event === 'edgewire.gap' || event === 'edgewire.reset') this.alarms++;
      }
      if (this.openedAt === Number.POSITIVE_INFINITY && isLive(stream.blocks)) this.openedAt = performance.now();
      return seen >= most || (done() && this.caughtUp());
    };
    try {
      await stream.until(enough, 45_000);
    } catch (error) {
      if (!String(error).includes('the stream ended')) throw error; // a browser would come back, and so do we
    }
  }

  /** The newest id there will be; a cursor at or past it, by message or heartbeat, has everything behind it. */
  end: Id | undefined;
  private caughtUp(): boolean {
    const cursor = parseId(this.lastId ?? '');
    return cursor !== undefined && this.end !== undefined && comparePositions(cursor, this.end) >= 0;
  }

  count(published: readonly Published[]) {
    const received = new Set(this.received);
    const due = published.filter((m) => m.began > this.openedAt && this.hears(m.channel));
    let turned = 0;
    for (let i = 1; i < this.received.length; i++) {
      if (comparePositions(parseId(this.received[i - 1]!)!, parseId(this.received[i]!)!) > 0) turned++;
    }
    return {
      due: due.length,
      lost: due.filter((m) => !received.has(m.id)).length,
      doubled: this.received.length - received.size,
      turned,
      alarms: this.alarms,
      cuts: this.cuts,
    };
  }
}

let stack: Stack;
let redis: Direct;
let slowWay: Awaited<ReturnType<typeof startWay>>;

beforeAll(async () => {
  stack = await startStack();
  redis = await connectDirect(stack.redis.url);
  slowWay = await startWay(stack.redis.port, 2);
});
afterAll(async () => {
  redis.close();
  await slowWay.stop();
  await stack.stop();
});

/** Deterministic, so that a failure can be looked at again: https://en.wikipedia.org/wiki/Xorshift */
function seeded(seed: number): () => number {
  let x = seed;
  return () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) / 2 ** 32;
  };
}

async function run(wrong: string | undefined) {
  await redis.call('FLUSHALL', []);
  const env = {
    ...stack.env,
    PORT: String(await freePort()),
    REDIS_URL: `redis://127.0.0.1:${slowWay.port}`,
    HEARTBEAT_MS: '1000',
  };
  const relay = await startRelay(
    wrong ? { env: { ...env, WRONG: wrong }, entry: 'test/helpers/wrong-relay.ts' } : { env },
  );
  const published: Published[] = [];
  let done = false;
  const readers = SUBSCRIPTIONS.flatMap((s) => [new TestReader(relay.url, s), new TestReader(relay.url, s)]);
  try {
    const reading = readers.map((reader, i) => reader.run(seeded(1000 + i), () => done));
    const publishing = Array.from({ length: PUBLISHERS }, async (_, p) => {
      const random = seeded(1 + p);
      for (let n = 0; n < MESSAGES; n++) {
        const began = performance.now();
        const channel = CHANNELS[Math.floor(random() * CHANNELS.length)]!;
        published.push({ id: await redis.publish(channel, n), channel, began });
        if (n % 50 !== 0) continue;
        const born = `born:${p}:${n}`;
        published.push({ id: await redis.publish(born, n), channel: born, began });
      }
    });
    await Promise.all(publishing);
    const newest = published
      .map((m) => parseId(m.id)!)
      .sort(comparePositions)
      .at(-1)!;
    for (const reader of readers) reader.end = newest;
    done = true;
    await Promise.all(reading);
  } finally {
    await relay.kill();
  }
  const total = { due: 0, lost: 0, doubled: 0, turned: 0, alarms: 0, cuts: 0 };
  for (const reader of readers) {
    const counted = reader.count(published);
    for (const key of Object.keys(total) as (keyof typeof total)[]) total[key] += counted[key];
  }
  return { ...total, published: published.length };
}

test('8 x 5,000 messages to readers that are cut at random: none lost, doubled or turned round', async () => {
  const total = await run(undefined);
  console.log(total);
  expect(total).toMatchObject({ lost: 0, doubled: 0, turned: 0, alarms: 0 });
  expect(total.published).toBeGreaterThan(PUBLISHERS * MESSAGES);
  expect(total.cuts).toBeGreaterThan(100);
}, 120_000);

test.each([
  'history is read before Redis is listened to',
  'there is no first block',
  'a pattern replays up to where the clock stands too late',
])(
  'messages are lost when %s',
  async (wrong) => {
    const total = await run(wrong);
    console.log(wrong, total);
    expect(total.lost).toBeGreaterThan(0);
  },
  120_000,
);
