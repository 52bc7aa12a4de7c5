import { afterAll, beforeAll, expect, test } from 'vitest';
import { startRedis } from '../../dev/redis.ts';
import { connectDirect } from '../helpers/redis.ts';
import { controlsOf, messagesOf, openStream, type TestStream } from '../helpers/sse.ts';
import type { Redis } from '../helpers/stack.ts';
import { idsUpTo, inOrder, metric, useScene } from './scene.ts';

const scene = useScene({ persist: true });
let dir: string;
let redis: Redis;

beforeAll(async () => {
  redis = scene.stack.redis;
  const direct = await connectDirect(redis.url);
  [, dir] = (await direct.call('CONFIG', ['GET', 'dir'])) as [string, string];
  direct.close();
});
afterAll(() => redis.kill());

/** SIGKILL, and the same data on the same port. */
async function restartRedis(): Promise<void> {
  await redis.kill();
  redis = await startRedis({ dir, port: redis.port });
}

async function expectUnbroken(reader: TestStream, published: string[]): Promise<void> {
  expect(await idsUpTo(reader, published.at(-1)!)).toEqual(published);
  expect(controlsOf(reader.blocks, 'open')).toHaveLength(1);
  for (const loss of ['gap', 'reset', 'bye'] as const) expect(controlsOf(reader.blocks, loss)).toEqual([]);
}

test('readers stay connected while Redis is killed and started, and have everything once, in order', async () => {
  const readers = [await scene.read('channel=a&channel=b'), await scene.read('pattern=*')];
  const published = [await scene.publish('a', 'before')];
  for (let restart = 0; restart < 3; restart++) {
    await restartRedis();
    for (const channel of ['a', 'b', 'a']) published.push(await scene.publishSurely(channel, restart));
  }
  for (const reader of readers) await expectUnbroken(reader, published);
});

test('a subscription that breaks while Redis lives is made whole from history, in place', async () => {
  const readers = [await scene.read('channel=c'), await scene.read('pattern=*')];
  const direct = await connectDirect(redis.url);
  const published: string[] = [];
  for (let cut = 0; cut < 3; cut++) {
    for (let i = 0; i < 20; i++) published.push(await direct.publish('c', i));
    await direct.call('CLIENT', ['KILL', 'TYPE', 'pubsub']);
    for (let i = 0; i < 20; i++) published.push(await direct.publish('c', i)); // the relay is deaf for some of these
    await expect.poll(() => metric(scene.stack.relayUrl, 'edgewire_ready')).toBe(1);
  }
  published.push(await direct.publish('c', 'end'));
  direct.close();
  for (const reader of readers) await expectUnbroken(reader, published);
  expect(await metric(scene.stack.relayUrl, 'edgewire_resubscribed_total')).toBeGreaterThanOrEqual(3);
});

test('a replay that breaks off with the connection to Redis goes on where it stood', async () => {
  const direct = await connectDirect(redis.url);
  const text = 'x'.repeat(100_000);
  const published: string[] = [];
  for (let i = 0; i < 200; i++) published.push(await direct.publish('long', text));
  const reader = await openStream(`${scene.stack.relayUrl}/v1/stream?channel=long&since=1h`);
  await reader.until((blocks) => blocks.length > 5);
  await direct.call('CLIENT', ['KILL', 'TYPE', 'normal']); // all but the one that asks
  direct.close();
  await expectUnbroken(reader, published);
  reader.cut();
});

test('publishers that repeat what was not answered publish each message once across a restart', async () => {
  const reader = await scene.read('pattern=shop:*');
  const published: string[] = [];
  let publishing = true;
  const publishers = [1, 2, 3, 4].map(async (shop) => {
    while (publishing) published.push(await scene.publishSurely(`shop:${shop}`, published.length));
  });
  for (let restart = 0; restart < 2; restart++) {
    const before = messagesOf(reader.blocks).length;
    await reader.until((blocks) => messagesOf(blocks).length > before + 20);
    await restartRedis();
    const after = published.length;
    await expect.poll(() => published.length, { timeout: 10_000 }).toBeGreaterThan(after + 20);
  }
  publishing = false;
  await Promise.all(publishers);
  await expectUnbroken(reader, inOrder(published));
});
