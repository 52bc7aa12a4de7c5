import { mkdtemp, readdir, rm, stat, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { freePort } from '../../dev/ports.ts';
import { type RunningRedis, startRedis } from '../../dev/redis.ts';
import { comparePositions, parsePosition } from '../../shared/id.ts';
import { connectDirect, type Direct } from '../helpers/redis.ts';
import { type RelayOn, relayOn } from '../helpers/relay-on.ts';
import { messagesOf } from '../helpers/sse.ts';
import { type Acked, hears, nothingWrong, publishEach, publishThrough, tally } from '../helpers/tally.ts';

/** Real servers that end without warning, and what their readers are told of what went with them. */
const CHANNELS = ['a', 'b', 'u:1', 'u:2'];
const LIVE = ['channel=a', 'channel=a&channel=b', 'pattern=u:*', 'channel=b&pattern=*'];

interface World {
  redis: RunningRedis;
  relay: RelayOn;
  direct: Direct;
  live: { subscription: string; stream: Awaited<ReturnType<RelayOn['open']>> }[];
  /** SIGKILL, what `meanwhile` does to its files, and a start on the same port with what is left. */
  killAndStart(meanwhile?: (dir: string) => Promise<void>): Promise<void>;
}

async function start(options: { persist: boolean; args?: string[] }): Promise<World> {
  const dir = await mkdtemp(join(tmpdir(), 'edgewire-epoch-'));
  onTestFinished(() => rm(dir, { recursive: true, force: true }));
  const port = await freePort();
  const run = () => startRedis({ dir, port, ...options });
  let redis = await run();
  onTestFinished(() => redis.kill());
  const relay = await relayOn(redis.url);
  const direct = await connectDirect(redis.url);
  onTestFinished(() => direct.close());
  const live = await Promise.all(
    LIVE.map(async (subscription) => ({ subscription, stream: await relay.open(subscription) })),
  );
  return {
    redis,
    relay,
    direct,
    live,
    async killAndStart(meanwhile) {
      await redis.kill();
      await meanwhile?.(dir);
      await pause(150); // who is back within 100 ms of the last look at its identity is taken for the old one
      redis = await run();
      await expect.poll(() => direct.ready).toBe(true);
    },
  };
}

/** The ids still in history, of all channels. */
async function history({ call, keys }: Direct): Promise<string[]> {
  const streams = CHANNELS.map((channel) => call('XRANGE', [keys.stream(channel as never), '-', '+']));
  const rows = (await Promise.all(streams)) as [string, string[]][][];
  return rows.flat().map(([position, fields]) => `${fields[fields.indexOf('e') + 1]}-${position}`);
}

const byPlace = (a: Acked, b: Acked) => comparePositions(a, b);

test.each(['always', 'everysec'])(
  'an append-only file written %s survives kill -9: nothing is lost, nobody is told anything',
  async (appendfsync) => {
    const world = await start({ persist: true, args: ['--appendfsync', appendfsync] });
    const publishing = publishThrough(world.direct, CHANNELS);
    for (let i = 0; i < 3; i++) {
      await pause(500);
      await world.killAndStart();
    }
    await pause(500);
    const acked = await publishing.stop();
    expect(new Set(acked.map(({ epoch }) => epoch)).size).toBe(4);
    expect(acked.length).toBeGreaterThan(50);
    for (const { subscription, stream } of world.live) {
      expect(await tally(stream, subscription, acked)).toEqual(nothingWrong);
    }
  },
);

test('without persistence every restart is one reset for every reader, and the new history is read whole', async () => {
  const world = await start({ persist: false });
  const resets: { reason: string; from: string }[] = [];
  const acked: Acked[] = [];
  let place = '';
  for (let restart = 0; restart < 3; restart++) {
    const before = await publishEach(world.direct, CHANNELS, 100);
    for (const { subscription, stream } of world.live) {
      expect(await tally(stream, subscription, before)).toMatchObject({ lost: 0 });
    }
    await world.killAndStart();
    const after = await publishEach(world.direct, CHANNELS, 60);
    resets.push({ reason: 'epoch', from: `${after[0]!.epoch}-0-0` });
    acked.push(...before, ...after);
    place ||= before.at(-1)!.id;
    // The control: by the order of ids alone these simply come next, and nobody would miss the hundred that are gone.
    expect(comparePositions(after[0]!, before.at(-1)!)).toBeGreaterThan(0);
    expect(await history(world.direct)).toHaveLength(60);
    for (const { subscription, stream } of world.live) {
      const counted = await tally(stream, subscription, acked);
      expect({ subscription, ...counted }).toEqual({ subscription, ...nothingWrong, resets });
    }
    const late = await world.relay.open('pattern=*', place);
    expect(await tally(late, 'pattern=*', after)).toEqual({ ...nothingWrong, resets: resets.slice(-1) });
  }
});

test('an append-only file that lost its end is told from exactly there, and only to those who had read beyond', async () => {
  const world = await start({ persist: true });
  const leaving = await world.relay.open('pattern=*');
  const early = await publishEach(world.direct, CHANNELS, 40);
  expect(await tally(leaving, 'pattern=*', early)).toEqual(nothingWrong);
  const place = leaving.lastId;
  leaving.cut();
  const quiet = await world.relay.open('channel=quiet', place);
  const later = await publishEach(world.direct, CHANNELS, 400);
  const acked = [...early, ...later];
  for (const { subscription, stream } of world.live) {
    expect(await tally(stream, subscription, acked)).toEqual(nothingWrong);
  }
  await world.killAndStart(async (dir) => {
    const folder = join(dir, 'appendonlydir');
    const name = (await readdir(folder)).find((file) => file.endsWith('.incr.aof'))!;
    const { size } = await stat(join(folder, name));
    await truncate(join(folder, name), size - 30_000);
  });
  const after = await publishEach(world.direct, CHANNELS, 100);

  const { epoch } = after[0]!;
  const fork = parsePosition(
    String(await world.direct.call('HGET', [world.direct.keys.clock, `f:${acked[0]!.epoch}`])),
  )!;
  const kept = acked.filter((message) => comparePositions(message, fork) <= 0);
  const gone = acked.filter((message) => comparePositions(message, fork) > 0);
  expect(gone.length).toBeGreaterThan(20);
  expect(kept.length).toBeGreaterThan(early.length);
  expect(comparePositions(kept.sort(byPlace).at(-1)!, fork)).toBe(0); // at a message, not merely somewhere between two
  expect((await history(world.direct)).sort()).toEqual([...kept, ...after].map(({ id }) => id).sort());

  const resets = [{ reason: 'rewind', from: `${epoch}-${fork.ms}-${fork.seq}` }];
  for (const { subscription, stream } of world.live) {
    expect(gone.some(({ channel }) => hears(subscription, channel))).toBe(true);
    const counted = await tally(stream, subscription, [...acked, ...after]);
    expect({ subscription, ...counted }).toEqual({ subscription, ...nothingWrong, resets });
  }
  const soft = await publishEach(world.direct, ['quiet'], 1);
  expect(await tally(quiet, 'channel=quiet', soft)).toEqual(nothingWrong);
  const back = await world.relay.open('pattern=*', place);
  expect(await tally(back, 'pattern=*', [...kept.slice(early.length), ...after])).toEqual(nothingWrong);
  expect(messagesOf(back.blocks).filter(({ id }) => gone.some((message) => message.id === id))).toEqual([]);
});
