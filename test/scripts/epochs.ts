import { expect, it } from 'vitest';
import { comparePositions, parseId } from '../../shared/id.ts';
import { type ForgetArgs, forget, probe } from '../../shared/scripts/clock.ts';
import { replay } from '../../shared/scripts/replay.ts';
import {
  type Bench,
  channel,
  clockOf,
  hash,
  listen,
  newSeed,
  outgoing,
  passed,
  place,
  rows,
  send,
  sendAll,
  text,
} from './bench.ts';

export function epochs(bench: Bench): void {
  const clockHash = () => hash(bench.direct, bench.direct.keys.clock);
  /** As a restart or a failover does: the server is another one, and the last look is long ago. */
  const changeServer = () => bench.direct.call('HSET', [bench.direct.keys.clock, 'r', 'another', 'c', '0']);

  it('begins with the first message, by the seed of whoever sends it, and stays', async () => {
    const first = await send(bench.redis, 'a', 0, { seed: 'firstseed0' });
    expect(first.epoch).toBe('firstseed0');
    expect(await clockHash()).toMatchObject({ e: 'firstseed0', b: '0-0', t: text(first), c: String(first.ms) });
    expect(await hash(bench.direct, bench.direct.keys.last)).toMatchObject({ '!': 'firstseed0' });
    await passed(bench.direct, first.ms + 200); // past the time at which the server is looked at again
    expect((await send(bench.redis, 'b')).epoch).toBe('firstseed0');
    expect((await clockOf(bench.redis)).epoch).toBe('firstseed0');
  });

  it.each([
    ['the clock is gone', ['DEL', '{ew:default}:clock']],
    ['the marker is gone', ['HDEL', '{ew:default}:last', '!']],
    ['the marker is another', ['HSET', '{ew:default}:last', '!', 'else']],
    ['all newest places are gone', ['DEL', '{ew:default}:last']],
  ])('is a new one when %s, and of the old one nothing can be said', async (_, [command, ...args]) => {
    const old = await send(bench.redis, 'a');
    await bench.direct.call(command!, args);
    const young = await send(bench.redis, 'a');
    expect(young.epoch).not.toBe(old.epoch);
    expect(comparePositions(young, old)).toBeGreaterThan(0);
    const clock = await clockHash();
    expect(clock).toMatchObject({ e: young.epoch, t: text(young) });
    expect(Object.keys(clock).filter((field) => field.startsWith('f:'))).toEqual([]);
    expect(await hash(bench.direct, bench.direct.keys.last)).toMatchObject({ '!': young.epoch, a: text(young) });
  });

  it('is a new one when the server is another, and the end of the old one is remembered', async () => {
    await send(bench.redis, 'a');
    const old = await send(bench.redis, 'b');
    await changeServer();
    const young = await send(bench.redis, 'a');
    expect(young.epoch).not.toBe(old.epoch);
    expect(await clockHash()).toMatchObject({ e: young.epoch, b: text(old), [`f:${old.epoch}`]: text(old) });
    await changeServer();
    const third = await send(bench.redis, 'a');
    expect(await clockHash()).toMatchObject({
      e: third.epoch,
      [`f:${old.epoch}`]: text(old),
      [`f:${young.epoch}`]: text(young),
    });
    expect((await rows(bench.direct, 'a')).map(({ e }) => e)).toEqual([old.epoch, young.epoch, third.epoch]);
    const replayed = await bench.redis.run(replay, {
      channels: [channel('a')],
      cursorEpoch: old.epoch,
      after: place('0-0'),
      pageBytes: 1,
    });
    expect(replayed?.clock.fork).toEqual(place(text(old)));
  });

  it('is looked after every 100 ms, whichever way the clock went, because a look costs 4 us', async () => {
    const serverSeenAt = (ms: number) =>
      bench.direct.call('HSET', [bench.direct.keys.clock, 'r', 'another', 'c', String(ms)]);
    for (let late = true; late; ) {
      const { epoch, nowMs } = await clockOf(bench.redis);
      await serverSeenAt(nowMs);
      const sent = await send(bench.redis, 'a');
      late = sent.ms - nowMs >= 100; // this machine was busy: once more
      if (!late) expect(sent.epoch).toBe(epoch);
    }
    const { epoch, nowMs } = await clockOf(bench.redis);
    await serverSeenAt(nowMs + 1_000_000);
    expect((await send(bench.redis, 'a')).epoch).not.toBe(epoch);
  });

  it('is not changed by a clock that steps back: ids keep rising', async () => {
    const { epoch, ms } = await send(bench.redis, 'a');
    const hourAhead = ms + 3_600_000;
    await bench.direct.call('HSET', [bench.direct.keys.clock, 't', `${hourAhead}-5`]);
    const ids = [
      await send(bench.redis, 'a'),
      await send(bench.redis, 'b', 0, { length: 0 }),
      await send(bench.redis, 'a'),
    ];
    expect(ids.map((id) => id.id)).toEqual([6, 7, 8].map((seq) => `${epoch}-${hourAhead}-${seq}`));
    expect(JSON.parse((await rows(bench.direct, 'a')).at(-1)!.d).timestamp).toBe(hourAhead);
  });

  it('is begun by a probe where there is none, and the pulse is sent to the relay that asked', async () => {
    const listener = await listen(bench.redisUrl, bench.direct.keys.relayName('r1'));
    const begun = await bench.redis.run(probe, { seed: 'probeseed0', relayId: 'r1' });
    expect(begun).toMatchObject({ epoch: 'probeseed0', tip: place('0-0'), begin: place('0-0'), floor: place('0-0') });
    const sent = await send(bench.redis, 'a');
    expect(sent.epoch).toBe('probeseed0');
    await bench.redis.run(probe, { seed: newSeed() });
    const clock = await bench.redis.run(probe, { seed: newSeed(), relayId: 'r1' });
    expect(clock.tip).toEqual(place(text(sent)));
    expect(clock.nowMs).toBeGreaterThanOrEqual(sent.ms);
    expect(await listener.until(2)).toEqual(['2 0-0 probeseed0', `2 ${text(sent)} probeseed0`]);
    listener.close();
  });

  it('says how relays listen, as the last probe told it; a probe that says nothing changes nothing', async () => {
    const { clock, allName } = bench.direct.keys;
    const listener = await listen(bench.redisUrl, allName);
    const word = () => bench.direct.call('HGET', [clock, 'p']);
    await bench.redis.run(probe, { seed: newSeed(), sharded: false });
    expect(await word()).toBeNull();
    await bench.redis.run(probe, { seed: newSeed(), sharded: true });
    await bench.redis.run(probe, { seed: newSeed() });
    expect(await word()).toBe('SPUBLISH');
    await send(bench.redis, 'a'); // goes where this listener does not listen
    await bench.redis.run(probe, { seed: newSeed(), sharded: false });
    expect(await word()).toBeNull();
    const heard = await send(bench.redis, 'a');
    expect((await listener.until(1)).map((envelope) => envelope.split(' ')[1])).toEqual([text(heard)]);
    listener.close();
  });

  it('is changed by a probe when the server is another, so that a quiet deployment hears of it', async () => {
    const old = await send(bench.redis, 'a');
    await changeServer();
    const clock = await clockOf(bench.redis);
    expect(clock).toMatchObject({ tip: place(text(old)), begin: place(text(old)) });
    expect(clock.epoch).not.toBe(old.epoch);
    expect((await send(bench.redis, 'a')).epoch).toBe(clock.epoch);
  });

  const forgetting = (more: Partial<ForgetArgs> = {}) =>
    bench.redis.run(forget, { holder: 'r1', leaseMs: 5_000, quietMs: 0, channelsMax: 10, forksMax: 100, ...more });

  it('goes on when quiet channels are forgotten: the floor is where the newest of them was', async () => {
    const a = await send(bench.redis, 'a');
    const b = await send(bench.redis, 'b', 0, { length: 0 });
    const c = await send(bench.redis, 'c');
    const hourAgo = String(c.ms - 3_600_000);
    await bench.direct.call('ZADD', [bench.direct.keys.index, hourAgo, 'a', hourAgo, 'b']);
    expect((await forgetting({ quietMs: 1_800_000 }))!.sort()).toEqual(['a', 'b']);
    expect(await hash(bench.direct, bench.direct.keys.last)).toEqual({ '!': a.epoch, c: text(c) });
    expect(await bench.direct.call('ZRANGE', [bench.direct.keys.index, '0', '-1'])).toEqual(['c']);
    expect((await clockOf(bench.redis)).floor).toEqual(place(text(b)));
    const again = await send(bench.redis, 'a');
    expect((await rows(bench.direct, 'a')).map(({ p }) => p)).toEqual(['0-0', text(b)]);
    expect(again.epoch).toBe(a.epoch);
  });

  it('never lowers its floor, and forgets no more at once than it is told', async () => {
    for (const name of ['a', 'b', 'c']) await passed(bench.direct, (await send(bench.redis, name)).ms);
    const floor = '9000000000000-0';
    await bench.direct.call('HSET', [bench.direct.keys.clock, 'floor', floor]);
    expect(await forgetting({ channelsMax: 2 })).toHaveLength(2);
    expect(await forgetting({ channelsMax: 2 })).toHaveLength(1);
    expect(await forgetting({ channelsMax: 2 })).toEqual([]);
    expect((await clockOf(bench.redis)).floor).toEqual(place(floor));
  });

  it('is forgotten in by one relay at a time, for as long as its lease, however often it comes back', async () => {
    await passed(bench.direct, (await send(bench.redis, 'a')).ms);
    expect(await forgetting()).toEqual(['a']);
    await passed(bench.direct, (await send(bench.redis, 'b')).ms);
    const before = await bench.direct.dump();
    expect(await forgetting({ holder: 'r2' })).toBeUndefined();
    expect(await bench.direct.dump()).toEqual(before);
    expect(await forgetting()).toEqual(['b']);
    expect(await bench.direct.call('PTTL', [bench.direct.keys.lease])).toSatisfy((ms: number) => ms > 0 && ms <= 5_000);
    await bench.direct.call('DEL', [bench.direct.keys.lease]); // as when the lease is over
    await passed(bench.direct, (await send(bench.redis, 'c')).ms);
    expect(await forgetting({ holder: 'r2' })).toEqual(['c']);
  });

  it('keeps the ends of the newest earlier ones, so many, and no older ones', async () => {
    const { epoch } = await send(bench.redis, 'a');
    const ends = Array.from({ length: 120 }, (_, i) => [`f:old${i}`, `${1_000 + i}-${i % 3}`]).flat();
    await bench.direct.call('HSET', [bench.direct.keys.clock, ...ends]);
    await forgetting();
    const fields = await clockHash();
    const forks = Object.keys(fields).filter((field) => field.startsWith('f:'));
    expect(forks.sort()).toEqual(Array.from({ length: 100 }, (_, i) => `f:old${i + 20}`).sort());
    expect(fields).toMatchObject({ e: epoch });
    expect((await send(bench.redis, 'a')).epoch).toBe(epoch);
  });

  it('forgets 10,000 channels in one run, though Lua passes no more than 8,000 words at once', async () => {
    const messages = Array.from({ length: 10_000 }, (_, i) => outgoing(`c:${i}`, '1', { length: 0 }));
    const sent = await sendAll(bench.redis, messages);
    await passed(bench.direct, sent.at(-1)!.ms);
    expect(await forgetting({ channelsMax: 20_000 })).toHaveLength(10_000);
    expect(await hash(bench.direct, bench.direct.keys.last)).toEqual({ '!': parseId(sent[0]!.id)!.epoch });
    expect(await bench.direct.call('EXISTS', [bench.direct.keys.index])).toBe(0);
    expect((await clockOf(bench.redis)).floor).toEqual(place(text(sent.at(-1)!)));
  });
}
