import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { startRedis } from '../../dev/redis.ts';
import { locate } from '../../shared/continuity.ts';
import { parseId } from '../../shared/id.ts';
import { RedisAway } from '../../shared/redis.ts';
import { batch } from '../../shared/scripts/batch.ts';
import { probe } from '../../shared/scripts/clock.ts';
import { replay } from '../../shared/scripts/replay.ts';
import { connectDirect } from '../helpers/redis.ts';
import { type Bench, channel, newSeed, outgoing, passed, rows, send, text } from './bench.ts';
import { conformance } from './conformance.ts';

const DIGESTS = ['--enable-debug-command', 'local'];

/** `direct` is the adapter itself: the port, and more. */
async function open(): Promise<Bench> {
  const dir = await mkdtemp(join(tmpdir(), 'edgewire-scripts-'));
  const server = await startRedis({ dir, persist: false, args: DIGESTS });
  const direct = await connectDirect(server.url);
  return {
    redis: direct,
    direct,
    redisUrl: server.url,
    async close() {
      direct.close();
      await server.kill();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

conformance('scripts over TCP', open);

it('a restart of Redis begins an epoch, remembers where the last one ended, and loses no message', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'edgewire-restart-'));
  onTestFinished(() => rm(dir, { recursive: true, force: true }));
  const first = await startRedis({ dir, args: DIGESTS });
  onTestFinished(() => first.kill());
  const before = await connectDirect(first.url);
  const old = await send(before, 'a', 'before');
  before.close();
  await first.stop();

  const second = await startRedis({ dir, args: DIGESTS });
  onTestFinished(() => second.kill());
  const after = await connectDirect(second.url);
  onTestFinished(() => after.close());
  await passed(after, old.ms + 100); // the server is looked at every 100 ms; this one can be back sooner
  const young = await send(after, 'a', 'after');
  expect(young.epoch).not.toBe(old.epoch);
  expect((await rows(after, 'a')).map(({ position, p, e }) => [position, p, e])).toEqual([
    [text(old), '0-0', old.epoch],
    [text(young), text(old), young.epoch],
  ]);
  const cursor = parseId(old.id)!;
  const replayed = await after.run(replay, {
    channels: [channel('a')],
    cursorEpoch: cursor.epoch,
    after: cursor,
    pageBytes: 1 << 20,
  });
  expect(locate(cursor, replayed!.clock)).toEqual({ from: cursor });
  expect(replayed!.channels[0]!.entries).toHaveLength(1);
});

it('a server that only follows another answers no publish, no batch and no probe, as if nobody was there', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'edgewire-replica-'));
  onTestFinished(() => rm(dir, { recursive: true, force: true }));
  const server = await startRedis({ dir, persist: false, args: DIGESTS });
  onTestFinished(() => server.kill());
  const direct = await connectDirect(server.url);
  onTestFinished(() => direct.close());
  const { ms } = await send(direct, 'a', 'before');
  await direct.call('REPLICAOF', ['127.0.0.1', '1']);
  await passed(direct, ms + 100); // a probe writes no more often than that
  const seed = newSeed();
  for (const run of [
    () => send(direct, 'a', 'refused'),
    () => direct.run(batch, { items: [{ ...outgoing('a', '1'), index: 0 }], seed }),
    () => direct.run(probe, { seed, relayId: 'r1' }),
  ]) {
    await expect(run()).rejects.toThrow(RedisAway);
    await expect.poll(() => direct.ready).toBe(true); // it has looked whether somebody else leads now
  }
  expect(await rows(direct, 'a')).toHaveLength(1);
});
