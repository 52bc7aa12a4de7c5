import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { connectDirect, type Direct } from '../helpers/redis.ts';
import { controlsOf, isLive, messagesOf, openStream } from '../helpers/sse.ts';
import { type Relay, type Stack, startStack } from '../helpers/stack.ts';
import { outgoing, sendAll } from '../scripts/bench.ts';

/** Everything is kept for a second, so a channel is forgotten after two. */
const QUICK = { RETENTION: '*=100/1s', JANITOR_MS: '150' };

let stack: Stack;
let relays: Relay[];
let redis: Direct;

beforeAll(async () => {
  stack = await startStack({ relayEnv: QUICK });
  relays = [stack.relay, await stack.addRelay()];
  redis = await connectDirect(stack.redis.url);
});
afterAll(async () => {
  redis.close();
  await stack.stop();
});

async function forgottenBy(relay: Relay): Promise<number> {
  const text = await (await fetch(`${relay.url}/metrics`)).text();
  return Number(/^edgewire_forgotten_total (\d+)$/m.exec(text)![1]);
}

/** Publishes 100 short-lived messages on each of `count` channels' names, and resolves when all but `names` are forgotten. */
async function fillAndForget(count: number, names: string[]): Promise<void> {
  await sendAll(
    redis,
    Array.from({ length: count }, (_, i) => outgoing(`quiet:${i}`, '1', { keepMs: 1_000 })),
  );
  const left = async () => ((await redis.call('ZRANGE', [redis.keys.index, '0', '-1'])) as string[]).sort().join();
  await vi.waitUntil(async () => (await left()) === names.join(), { timeout: 15_000, interval: 50 });
}

test('of two relays one drops long-quiet channels; who may have missed something is told, nobody else notices', async () => {
  const old = await redis.publish('quiet:1', 'old', { keepMs: 1_000 });
  const missed = await redis.publish('quiet:1', 'missed', { keepMs: 1_000 });
  const watching = await openStream(`${relays[0]!.url}/v1/stream?channel=quiet:2&channel=busy`);
  await watching.until(isLive);
  let busy = '';
  const publishing = setInterval(async () => (busy = await redis.publish('busy', 1)), 100);
  try {
    await fillAndForget(2_500, ['busy']);
  } finally {
    clearInterval(publishing);
  }
  expect(((await redis.call('HKEYS', [redis.keys.last])) as string[]).sort()).toEqual(['!', 'busy']);
  const counts = await Promise.all(relays.map(forgottenBy));
  expect(counts.sort((a, b) => a - b)).toEqual([0, 2_500]); // the lease was held throughout

  const late = await openStream(`${relays[1]!.url}/v1/stream?channel=quiet:1`, { 'Last-Event-ID': old });
  await late.until((blocks) => controlsOf(blocks, 'gap').length > 0);
  expect(controlsOf(late.blocks, 'gap')).toEqual([{ channel: 'quiet:1', after: old, oldest: null, reason: 'expired' }]);
  expect(missed > old).toBe(true);
  const fresh = await openStream(`${relays[1]!.url}/v1/stream?channel=quiet:1&channel=busy`, { 'Last-Event-ID': busy });
  await fresh.until(isLive);
  const again = await redis.publish('quiet:2', 'again');
  const reborn = await redis.publish('quiet:1', 'reborn');
  await watching.until((blocks) => messagesOf(blocks).some(({ id }) => id === again));
  await fresh.until((blocks) => messagesOf(blocks).some(({ id }) => id === reborn));
  for (const stream of [watching, fresh]) {
    expect(controlsOf(stream.blocks, 'gap')).toEqual([]);
    expect(controlsOf(stream.blocks, 'reset')).toEqual([]);
  }
  expect(messagesOf(watching.blocks).filter(({ channel }) => channel === 'quiet:2')).toHaveLength(2);
  for (const stream of [watching, late, fresh]) stream.cut();
});

test('when the relay that did it is killed, the other goes on', async () => {
  const [first, second] = await Promise.all(relays.map(forgottenBy));
  const [worker, idle] = first! > second! ? [relays[0]!, relays[1]!] : [relays[1]!, relays[0]!];
  expect(await forgottenBy(idle)).toBe(0);
  await worker.kill();
  await fillAndForget(10, []);
  expect(await forgottenBy(idle)).toBeGreaterThanOrEqual(10);
});
