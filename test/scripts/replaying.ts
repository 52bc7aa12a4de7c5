import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Position } from '../../shared/id.ts';
import { comparePositions, zero } from '../../shared/id.ts';
import { forget } from '../../shared/scripts/clock.ts';
import { purge } from '../../shared/scripts/history.ts';
import { changes, type ReplayArgs, type Replayed, recent, replay } from '../../shared/scripts/replay.ts';
import { type Bench, channel, clockOf, hash, outgoing, passed, place, rows, send, sendAll, text } from './bench.ts';

const NAMES = ['a', 'b', 'c', 'd', 'e'];

/** Whatever there is, also what is of this very millisecond. */
const everything = { holder: 'r1', leaseMs: 5_000, quietMs: -1_000, channelsMax: 10, forksMax: 100 };

export function replaying(bench: Bench): void {
  const page = (names: string[], after: Position, more: Partial<ReplayArgs> = {}) =>
    bench.redis.run(replay, { channels: names.map(channel), cursorEpoch: '', after, pageBytes: 1 << 20, ...more });
  const expectPage = async (...args: Parameters<typeof page>): Promise<Replayed> => (await page(...args)) as Replayed;
  const placesOf = (replayed: Replayed) =>
    replayed.channels.flatMap((c) => c.entries.map((e) => e.position)).sort(comparePositions);
  const [first, later] = [outgoing('a', '"first"'), outgoing('a', '"later"')];

  it('read page by page is what a full read gives: nothing lost, doubled or turned round', async () => {
    const messages = fc.array(
      fc.record({ name: fc.constantFrom(...NAMES), chars: fc.nat(4_000), kept: fc.boolean() }),
      { minLength: 1, maxLength: 120, size: 'max' },
    );
    const scenario = {
      messages,
      pageBytes: fc.integer({ min: 1, max: 60_000 }),
      skip: fc.nat(100),
      asked: fc.subarray(NAMES),
    };
    await fc.assert(
      fc.asyncProperty(fc.record(scenario), async ({ messages, pageBytes, skip, asked }) => {
        await bench.direct.call('FLUSHALL', []);
        const sent = await sendAll(
          bench.redis,
          messages.map(({ name, chars, kept }) =>
            outgoing(name, `"${'x'.repeat(chars)}"`, { length: kept ? 10_000 : 0 }),
          ),
        );
        const start = skip === 0 ? zero : sent[skip % sent.length]!;
        const full = (await Promise.all(asked.map((name) => rows(bench.direct, name))))
          .flatMap((channelRows, i) => channelRows.map((row) => ({ name: asked[i]!, ...row })))
          .filter((row) => comparePositions(place(row.position), start) > 0)
          .sort((x, y) => comparePositions(place(x.position), place(y.position)));

        const read: typeof full = [];
        let [after, until]: [Position, Position | undefined] = [start, undefined];
        for (let pages = 0; !until || comparePositions(after, until) < 0; pages++) {
          const replayed = await expectPage(asked, after, { pageBytes, ...(until && { until }) });
          const entries = replayed.channels.flatMap((c) =>
            c.entries.map((e) => ({
              name: c.channel,
              position: text(e.position),
              d: e.json,
              p: text(e.previous),
              e: e.epoch,
            })),
          );
          read.push(...entries.sort((x, y) => comparePositions(place(x.position), place(y.position))));
          expect(comparePositions(replayed.upto, after)).toBeGreaterThanOrEqual(0);
          [after, until] = [replayed.upto, replayed.until];
          // What is published meanwhile is not of this replay; and a page that brings nothing would never end.
          await send(bench.redis, 'a', 'meanwhile');
          expect(pages).toBeLessThan(200);
        }
        expect(read).toEqual(full);
      }),
      { seed: 20_261_120, numRuns: 40 },
    );
  });

  it('never holds much more than a page', async () => {
    await sendAll(
      bench.redis,
      Array.from({ length: 500 }, (_, i) => outgoing(NAMES[i % 5]!, `"${'x'.repeat(1_000)}"`)),
    );
    const replayed = await expectPage(NAMES, zero, { pageBytes: 50_000 });
    const bytes = replayed.channels.flatMap((c) => c.entries).reduce((sum, e) => sum + e.json.length, 0);
    expect(bytes).toBeGreaterThan(25_000);
    expect(bytes).toBeLessThan(75_000);
  });

  it('stops where it is told, and says that it is complete', async () => {
    const sent = await sendAll(
      bench.redis,
      ['a', 'b', 'a', 'b'].map((name) => outgoing(name, '1')),
    );
    const until = place(text(sent[1]!));
    const replayed = await expectPage(['a', 'b'], zero, { until });
    expect(placesOf(replayed)).toEqual(sent.slice(0, 2).map(({ ms, seq }) => ({ ms, seq })));
    expect([replayed.upto, replayed.until]).toEqual([until, until]);
    expect(replayed.channels.map(({ channel, last }) => [channel, last])).toEqual([
      ['a', place(text(sent[2]!))],
      ['b', place(text(sent[3]!))],
    ]);
  });

  it('tells, when complete, to what the first message beyond its end links, so that a hole there is seen', async () => {
    const [a1, a2, b1, a3] = await sendAll(bench.redis, [first, { ...later, length: 0 }, outgoing('b', '1'), later]);
    const links = (replayed: Replayed) => replayed.channels.map((c) => c.link && text(c.link));
    expect(links(await expectPage(['a', 'b'], zero, { until: b1! }))).toEqual([text(a2!), undefined]);
    expect(links(await expectPage(['a'], zero, { until: a1! }))).toEqual([text(a2!)]);
    expect(links(await expectPage(['a', 'b'], zero, { until: a3! }))).toEqual([undefined, undefined]);
    const unfinished = await expectPage(['a', 'b'], zero, { until: b1!, pageBytes: 1 });
    expect([text(unfinished.upto), links(unfinished)]).toEqual([text(a1!), [undefined, undefined]]);
  });

  it('speaks only of channels that were heard after the cursor', async () => {
    const [, b] = await sendAll(bench.redis, [outgoing('a', '1'), outgoing('b', '1'), outgoing('c', '1')]);
    const replayed = await expectPage(['a', 'b', 'c', 'unheard'], b!);
    expect(replayed.channels.map((c) => c.channel)).toEqual(['c']);
    expect(replayed.forgotten).toEqual([]);
  });

  it('tells what became of the newest message: kept, not kept, purged', async () => {
    for (const name of ['kept', 'purged']) await send(bench.redis, name);
    await send(bench.redis, 'sent', 0, { length: 0 });
    await bench.redis.run(purge, { channel: channel('purged') });
    const replayed = await expectPage(['kept', 'purged', 'sent'], zero);
    expect(replayed.channels.map((c) => [c.channel, c.lastKind, c.entries.length])).toEqual([
      ['kept', 'kept', 1],
      ['purged', 'purged', 0],
      ['sent', 'not-kept', 0],
    ]);
  });

  it('tells a hole by what was not kept from one by what was trimmed: something older is there, or not', async () => {
    const sent = await sendAll(bench.redis, [first, { ...later, length: 0 }, later]);
    const cursor = sent[0]!;
    expect((await expectPage(['a'], cursor)).channels[0]).toMatchObject({
      older: true,
      entries: [{ previous: place(text(sent[1]!)) }],
    });
    expect((await expectPage(['a'], cursor, { until: sent[1]! })).channels[0]).toMatchObject({
      older: true,
      entries: [],
    });
    await bench.direct.call('XTRIM', [bench.direct.keys.stream(channel('a')), 'MAXLEN', '1']);
    expect((await expectPage(['a'], cursor)).channels[0]).toMatchObject({
      older: false,
      entries: [{ previous: place(text(sent[1]!)) }],
    });
    await bench.direct.call('DEL', [bench.direct.keys.stream(channel('a'))]);
    expect((await expectPage(['a'], cursor)).channels[0]).toMatchObject({
      older: false,
      entries: [],
      last: place(text(sent[2]!)),
    });
  });

  it('names the channels that were forgotten, to cursors that may have missed something there', async () => {
    const old = await send(bench.redis, 'a');
    const newest = await send(bench.redis, 'b');
    expect(await bench.redis.run(forget, everything)).toHaveLength(2);
    expect((await expectPage(['a', 'b', 'never'], old)).forgotten).toEqual(['a', 'b', 'never']);
    expect((await expectPage(['a', 'b', 'never'], newest)).forgotten).toEqual([]);
    await send(bench.redis, 'a');
    const replayed = await expectPage(['a', 'b'], old);
    expect(replayed.forgotten).toEqual(['b']);
    expect(replayed.channels[0]!.entries[0]!.previous).toEqual(place(text(newest)));
  });

  it('hides a message whose own time has passed, and keeps its place in the chain', async () => {
    const mortal = await send(bench.redis, 'a', 'secret', { ttlMs: 1 });
    const kept = await send(bench.redis, 'a', 'kept', { ttlMs: 1_000_000 });
    await passed(bench.direct, mortal.ms + 1);
    const [a] = (await expectPage(['a'], zero)).channels;
    expect(a!.entries.map((e) => [e.position, e.json === ''])).toEqual([
      [place(text(mortal)), true],
      [place(text(kept)), false],
    ]);
    expect(JSON.stringify(a)).not.toContain('secret');
  });

  it.each([
    ['nothing was ever published', ['FLUSHALL']],
    ['the clock is gone', ['DEL', '{ew:default}:clock']],
    ['the marker is gone', ['HDEL', '{ew:default}:last', '!']],
    ['the newest places are gone', ['DEL', '{ew:default}:last']],
  ])('has no answer when %s, nor have changes, until a probe begins an epoch', async (_, [command, ...args]) => {
    await send(bench.redis, 'a');
    await bench.direct.call(command!, args);
    expect(await page(['a'], zero)).toBeUndefined();
    expect(
      await bench.redis.run(changes, { cursorEpoch: '', after: zero, prefixes: [''], namesMax: 10 }),
    ).toBeUndefined();
    const clock = await clockOf(bench.redis);
    expect((await page(['a'], zero))?.clock.epoch).toBe(clock.epoch);
  });

  it('gives the clock as the probe does', async () => {
    await send(bench.redis, 'a');
    const { nowMs: _, ...clock } = await clockOf(bench.redis);
    expect((await expectPage([], zero)).clock).toMatchObject(clock);
    expect(
      (await bench.redis.run(changes, { cursorEpoch: '', after: zero, prefixes: [''], namesMax: 1 }))!.clock,
    ).toMatchObject(clock);
  });

  it('changes nothing', async () => {
    await sendAll(
      bench.redis,
      NAMES.map((name) => outgoing(name, '1')),
    );
    const before = await bench.direct.dump();
    await page(NAMES, zero, { pageBytes: 1 });
    await bench.redis.run(changes, { cursorEpoch: 'x', after: zero, prefixes: [''], namesMax: 1 });
    await bench.redis.run(recent, { channels: NAMES.map(channel), count: 5, bytesMax: 1 << 20 });
    expect(await bench.direct.dump()).toEqual(before);
  });

  it('is begun, for patterns, by the channels that changed in or after the millisecond of the cursor', async () => {
    const old = await send(bench.redis, 'a');
    await passed(bench.direct, old.ms);
    const cursor = await send(bench.redis, 'b');
    await send(bench.redis, 'c', 0, { length: 0 });
    const changed = await bench.redis.run(changes, { cursorEpoch: '', after: cursor, prefixes: [''], namesMax: 10 });
    expect(changed!.channels).toEqual(['b', 'c']);
    expect(changed!.clock.tip).toEqual(place((await hash(bench.direct, bench.direct.keys.clock)).t!));
  });

  it('is told when more changed than it looked at, and only of names with the asked beginnings', async () => {
    for (const name of NAMES) await send(bench.redis, name);
    const ask = async (namesMax: number, prefixes: string[]) =>
      (await bench.redis.run(changes, { cursorEpoch: '', after: zero, prefixes, namesMax }))!;
    expect((await ask(5, [''])).capped).toBe(false);
    expect((await ask(4, [''])).capped).toBe(true);
    const [one, two] = NAMES as [string, string];
    expect((await ask(5, [one, two])).channels.sort()).toEqual([one, two].sort());
    expect((await ask(5, ['nothing like it'])).channels).toEqual([]);
  });

  it('reads each channel from a place of its own where one is given', async () => {
    const sent = await sendAll(bench.redis, [first, outgoing('b', '1'), later, outgoing('b', '2')]);
    const whole = await bench.redis.run(replay, {
      channels: ['a', 'b'].map(channel),
      cursorEpoch: '',
      after: zero,
      starts: [undefined, sent[1]!],
      pageBytes: 1 << 20,
    });
    const counts = whole!.channels.map((c) => `${c.channel} ${c.entries.length}`);
    expect(counts.sort()).toEqual(['a 2', 'b 1']);
  });

  it('tells of a channel that ends within an early page with a message that is not kept', async () => {
    await send(bench.redis, 'quiet');
    await send(bench.redis, 'quiet', 0, { length: 0 });
    for (let i = 0; i < 20; i++) await send(bench.redis, 'busy');
    const early = await page(['quiet', 'busy'], zero, { pageBytes: 400 });
    const quiet = early!.channels.find((c) => c.channel === 'quiet')!;
    expect(text(early!.upto)).not.toBe(text(early!.until));
    expect([quiet.lastKind, quiet.older, quiet.entries.length]).toEqual(['not-kept', false, 1]);
    expect(comparePositions(quiet.last, early!.upto)).toBeLessThanOrEqual(0);
  });

  it('is begun, for a rewind, no further back than the bytes allow', async () => {
    const sent = await sendAll(
      bench.redis,
      Array.from({ length: 9 }, () => outgoing('a', JSON.stringify('x'.repeat(1_000)))),
    );
    const at = async (bytesMax: number) => {
      const [place] = await bench.redis.run(recent, { channels: [channel('a')], count: 100, bytesMax });
      return sent.findIndex((m) => text(m) === text(place!));
    };
    expect([await at(1), await at(2_500), await at(1 << 20)]).toEqual([8, 6, 0]);
  });

  it('is begun, for a rewind, at the place of the newest so many of each channel', async () => {
    const sent = await sendAll(
      bench.redis,
      [first, later, { ...later, length: 0 }, later].concat(outgoing('b', '1', { length: 0 })),
    );
    const at = async (count: number) =>
      (await bench.redis.run(recent, { channels: ['a', 'b', 'never'].map(channel), count, bytesMax: 1 << 20 })).map(
        (p) => p && text(p),
      );
    expect(await at(1)).toEqual([text(sent[3]!), undefined, undefined]);
    expect(await at(2)).toEqual([text(sent[1]!), undefined, undefined]);
    expect(await at(9)).toEqual([text(sent[0]!), undefined, undefined]);
  });
}
