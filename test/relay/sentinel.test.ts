import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { comparePositions } from '../../shared/id.ts';
import { clockOff } from '../helpers/clock.ts';
import { connectDirect } from '../helpers/redis.ts';
import { relayOn } from '../helpers/relay-on.ts';
import { startWatched, type Watched } from '../helpers/sentinels.ts';
import { messagesOf } from '../helpers/sse.ts';
import { nothingWrong, publishEach, publishThrough, tally } from '../helpers/tally.ts';

const CHANNELS = ['a', 'b', 'u:1', 'u:2'];
const LIVE = ['channel=a', 'channel=a&channel=b', 'pattern=u:*', 'channel=b&pattern=*'];
const LEAVING = 'channel=a&pattern=u:*';

test.each([
  ['clock agrees', 0],
  ['clock is 30 seconds behind', -30],
])(
  'a failover to a replica that never heard of the last messages and whose %s is told exactly, and nothing else is lost',
  async (_, seconds) => {
    const dir = await mkdtemp(join(tmpdir(), 'edgewire-sentinel-'));
    onTestFinished(() => rm(dir, { recursive: true, force: true }));
    const environment = seconds === 0 ? {} : clockOff(dir, seconds);
    if (!environment) return console.warn('Skipped: without a C compiler no clock can be set back.');
    const watched = await startWatched(dir, environment);
    onTestFinished(() => watched.stop());
    const relay = await relayOn(watched.url);
    const direct = await connectDirect(watched.url);
    onTestFinished(() => direct.close());
    const live = await Promise.all(
      LIVE.map(async (subscription) => ({ subscription, stream: await relay.open(subscription) })),
    );
    const quiet = await relay.open('channel=quiet');

    const leaving = await relay.open(LEAVING);
    await publishEach(direct, CHANNELS, 40);
    await leaving.until((blocks) => messagesOf(blocks).length === 30);
    const place = leaving.lastId;
    leaving.cut();

    const known = await publishEach(direct, CHANNELS, 200);
    const fork = known.at(-1)!;
    await expect.poll(() => direct.call('WAIT', ['1', '100'])).toBe(1);
    await watched.cutReplication();
    const tail = await publishEach(direct, CHANNELS, 400);
    for (const { subscription, stream } of live) expect(await tally(stream, subscription, tail)).toEqual(nothingWrong);
    expect(tail.filter(({ epoch }) => epoch !== fork.epoch)).toEqual([]);

    await watched.primary.kill();
    const killedMs = performance.now();
    const publishing = publishThrough(direct, CHANNELS);
    await watched.promoted();
    await expect.poll(() => publishing.acked.length, { timeout: 20_000 }).toBeGreaterThan(0);
    const awayMs = Math.round(performance.now() - killedMs);
    await pause(2_000);
    const after = [...(await publishing.stop()), ...(await publishEach(direct, CHANNELS, 100))];
    const { epoch } = after[0]!;
    expect(epoch).not.toBe(fork.epoch);
    expect(after.filter((message) => message.epoch !== epoch)).toEqual([]);

    const resets = [{ reason: 'rewind', from: `${epoch}-${fork.ms}-${fork.seq}` }];
    for (const { subscription, stream } of live) {
      const counted = await tally(stream, subscription, [...known, ...tail, ...after]);
      expect({ subscription, ...counted }).toEqual({ subscription, ...nothingWrong, resets });
    }
    // Whose place lies before the fork notices nothing, connected or not.
    const soft = await publishEach(direct, ['quiet'], 1);
    expect(await tally(quiet, 'channel=quiet', soft)).toEqual(nothingWrong);
    const back = await relay.open(LEAVING, place);
    expect(await tally(back, LEAVING, [...known, ...after])).toEqual(nothingWrong);
    const gone = new Set(tail.map(({ id }) => id));
    expect(messagesOf(back.blocks).filter(({ id }) => gone.has(id))).toEqual([]);

    // The control: told by the order of ids alone, readers at the end of the tail would have dropped all of these as old.
    const behind = after.filter((message) => comparePositions(message, tail.at(-1)!) <= 0);
    expect(behind).toHaveLength(seconds === 0 ? 0 : after.length);

    // The old primary returns with the tail on its disk, and becomes a replica that forgets it.
    const old = await connectDirect((await watched.bringBack()).url);
    onTestFinished(() => old.close());
    const replication = async () => String(await old.call('INFO', ['replication']).catch(String));
    await expect.poll(replication, { timeout: 30_000 }).toMatch(/role:slave[\s\S]*master_link_status:up/);
    const late = await publishEach(direct, CHANNELS, 40);
    for (const { subscription, stream } of live) {
      expect(await tally(stream, subscription, late)).toEqual({ ...nothingWrong, resets });
    }
    console.info(
      `Redis was away for ${awayMs} ms; lost ${tail.length}, published after it ${after.length + late.length}.`,
    );
  },
  120_000,
);

test.each([
  [
    'is replaced and lives on',
    async ({ replace, primary }: Watched) => {
      await replace();
      return primary.pid;
    },
  ],
  [
    'stands still, is replaced and wakes up',
    async ({ primary }: Watched) => {
      process.kill(primary.pid, 'SIGSTOP');
      return primary.pid;
    },
  ],
])(
  'a primary that %s is left for the new one, and readers notice nothing',
  async (_, replace) => {
    const dir = await mkdtemp(join(tmpdir(), 'edgewire-sentinel-'));
    onTestFinished(() => rm(dir, { recursive: true, force: true }));
    const watched = await startWatched(dir);
    onTestFinished(() => watched.stop());
    const relay = await relayOn(watched.url);
    const direct = await connectDirect(watched.url);
    onTestFinished(() => direct.close());
    const live = await Promise.all(
      LIVE.map(async (subscription) => ({ subscription, stream: await relay.open(subscription) })),
    );
    const before = await publishEach(direct, CHANNELS, 100);
    await expect.poll(() => direct.call('WAIT', ['1', '100'])).toBe(1);

    const replacedMs = performance.now();
    const pid = await replace(watched);
    await watched.promoted();
    // A connection of its own: what waits in one to the old primary, that one may still run when it wakes.
    const elsewhere = await connectDirect(watched.url);
    onTestFinished(() => elsewhere.close());
    const publishing = publishThrough(elsewhere, CHANNELS);
    await expect.poll(() => publishing.acked.length, { timeout: 20_000 }).toBeGreaterThan(0);
    const awayMs = Math.round(performance.now() - replacedMs);
    process.kill(pid, 'SIGCONT');
    await pause(3_000);
    const after = await publishing.stop();
    expect(new Set(after.map(({ epoch }) => epoch)).size).toBe(1);
    expect(after[0]!.epoch).not.toBe(before[0]!.epoch);
    for (const { subscription, stream } of live) {
      const counted = await tally(stream, subscription, [...before, ...after]);
      expect({ subscription, ...counted }).toEqual({ subscription, ...nothingWrong });
    }
    console.info(`Publishing went on after ${awayMs} ms: ${after.length} messages.`);
  },
  60_000,
);
