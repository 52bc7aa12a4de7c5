import fc from 'fast-check';
import { expect, it } from 'vitest';
import { comparePositions } from '../../shared/id.ts';
import { type HistoryArgs, type HistoryReply, history, message, purge } from '../../shared/scripts/history.ts';
import { type Bench, channel, hash, outgoing, passed, place, rows, send, sendAll, text } from './bench.ts';

export function reading(bench: Bench): void {
  const read = async (more: Partial<HistoryArgs> = {}): Promise<HistoryReply> => {
    const args = {
      channel: channel('a'),
      cursorEpoch: '',
      order: 'asc',
      limit: 100,
      bytesMax: 1 << 20,
      ...more,
    } as const;
    return (await bench.redis.run(history, args)) as HistoryReply;
  };
  const placesOf = (page: HistoryReply) => page.entries.map((entry) => text(entry.position));
  const publishAll = (...data: unknown[]) =>
    sendAll(
      bench.redis,
      data.map((value) => outgoing('a', JSON.stringify(value))),
    );

  it.each(['asc', 'desc'] as const)('read page by page, %s, is everything once and in order', async (order) => {
    const scenario = {
      chars: fc.array(fc.nat(600), { minLength: 1, maxLength: 100, size: 'max' }),
      limit: fc.integer({ min: 1, max: 70 }),
      bytesMax: fc.integer({ min: 1, max: 40_000 }),
    };
    await fc.assert(
      fc.asyncProperty(fc.record(scenario), async ({ chars, limit, bytesMax }) => {
        await bench.direct.call('FLUSHALL', []);
        await publishAll(...chars.map((count) => 'x'.repeat(count)));
        const found: { position: string; d: string }[] = [];
        for (let more = true; more; ) {
          const last = found.at(-1);
          const bound = last && { [order === 'asc' ? 'after' : 'before']: place(last.position) };
          const page = await read({ order, limit, bytesMax, ...bound });
          expect(page.entries.length).toBeGreaterThan(0);
          expect(page.entries.length).toBeLessThanOrEqual(limit);
          const sizes = page.entries.map((entry) => entry.json.length);
          expect(sizes.slice(0, -1).reduce((sum, size) => sum + size, 0)).toBeLessThan(bytesMax);
          found.push(...page.entries.map((entry) => ({ position: text(entry.position), d: entry.json })));
          more = page.more;
        }
        const full = (await rows(bench.direct, 'a')).map(({ position, d }) => ({ position, d }));
        expect(found).toEqual(order === 'asc' ? full : full.reverse());
      }),
      { seed: 20_261_120, numRuns: 40 },
    );
  });

  it('excludes both of its bounds', async () => {
    const sent = (await publishAll(1, 2, 3, 4, 5)).map(text);
    const between = { after: place(sent[0]!), before: place(sent[4]!) };
    expect(placesOf(await read(between))).toEqual(sent.slice(1, 4));
    expect(placesOf(await read({ ...between, order: 'desc' }))).toEqual(sent.slice(1, 4).reverse());
    expect(await read({ ...between, limit: 3 })).toMatchObject({ more: false });
    expect(await read({ ...between, limit: 2 })).toMatchObject({ more: true });
    expect(await read({ after: place(sent[4]!) })).toMatchObject({ entries: [], more: false });
  });

  it('says what is oldest, what is newest, and whether anything older than the cursor is left', async () => {
    const [a1, a2, a3] = await publishAll(1, 2, 3);
    const cursor = { after: place(text(a1!)) };
    expect(await read(cursor)).toMatchObject({
      oldest: place(text(a1!)),
      last: place(text(a3!)),
      lastKind: 'kept',
      older: true,
    });
    expect(await read()).toMatchObject({ older: false });
    await bench.direct.call('XTRIM', [bench.direct.keys.stream(channel('a')), 'MAXLEN', '2']);
    const { epoch } = await send(bench.redis, 'a', 4, { length: 0 });
    expect(await read(cursor)).toMatchObject({
      oldest: place(text(a2!)),
      oldestEpoch: epoch,
      lastKind: 'not-kept',
      older: false,
    });
  });

  it('of a channel never heard is empty, and undefined before anything was published', async () => {
    expect(await read()).toBeUndefined();
    await send(bench.redis, 'b');
    expect(await read()).toMatchObject({ entries: [], more: false, oldest: undefined, last: undefined, older: false });
  });

  it('knows where the epoch of the asked cursor ended', async () => {
    const { epoch } = await send(bench.redis, 'a');
    await bench.direct.call('HSET', [bench.direct.keys.clock, 'f:before', '17-2']);
    expect((await read({ cursorEpoch: 'before' })).clock.fork).toEqual({ ms: 17, seq: 2 });
    expect((await read({ cursorEpoch: epoch })).clock.fork).toBeUndefined();
  });

  it('hides a message whose own time has passed, listed or asked for by its place', async () => {
    const mortal = await send(bench.redis, 'a', 'secret', { ttlMs: 1 });
    const kept = await send(bench.redis, 'a', 'kept', { ttlMs: 1_000_000 });
    await passed(bench.direct, mortal.ms + 1);
    expect((await read()).entries.map((entry) => entry.json === '')).toEqual([true, false]);
    expect((await bench.redis.run(message, { channel: channel('a'), position: mortal }))?.json).toBe('');
    expect((await bench.redis.run(message, { channel: channel('a'), position: kept }))?.json).toContain('kept');
  });

  it('gives one message by its place, as it was published', async () => {
    const [a1, a2] = await publishAll('one', 'two');
    const entry = await bench.redis.run(message, { channel: channel('a'), position: a2! });
    expect(entry).toMatchObject({ position: place(text(a2!)), previous: place(text(a1!)) });
    expect(JSON.parse(entry!.json)).toMatchObject({ id: a2!.id, data: 'two' });
    expect(`${entry!.epoch}-${text(entry!.position)}`).toBe(a2!.id);
  });

  it('has no message where none was kept', async () => {
    const { ms, seq } = await send(bench.redis, 'a');
    const find = (name: string, seqOff: number) =>
      bench.redis.run(message, { channel: channel(name), position: { ms, seq: seq + seqOff } });
    expect(await Promise.all([find('a', 1), find('b', 0)])).toEqual([undefined, undefined]);
  });

  it('that is purged is gone, and its newest place is still known', async () => {
    const sent = await publishAll(1, 2);
    await send(bench.redis, 'b');
    expect(await bench.redis.run(purge, { channel: channel('a') })).toBe(true);
    expect(await read()).toMatchObject({
      entries: [],
      oldest: undefined,
      last: place(text(sent[1]!)),
      lastKind: 'purged',
    });
    expect(await hash(bench.direct, bench.direct.keys.last)).toMatchObject({ a: `${text(sent[1]!)} p` });
    expect(await rows(bench.direct, 'b')).toHaveLength(1);
    const next = await send(bench.redis, 'a', 3);
    expect(await rows(bench.direct, 'a')).toMatchObject([{ position: text(next), p: text(sent[1]!) }]);
    expect(comparePositions(next, sent[1]!)).toBeGreaterThan(0);
  });

  it('of which nothing is kept is not purged: nothing changes', async () => {
    await send(bench.redis, 'a', 1, { length: 0 });
    const before = await bench.direct.dump();
    expect(await bench.redis.run(purge, { channel: channel('a') })).toBe(false);
    expect(await bench.redis.run(purge, { channel: channel('never') })).toBe(false);
    expect(await bench.direct.dump()).toEqual(before);
  });
}
