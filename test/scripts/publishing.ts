import { expect, it } from 'vitest';
import { comparePositions, type Position, zero } from '../../shared/id.ts';
import { publish } from '../../shared/scripts/publish.ts';
import { type Bench, channel, hash, listen, newSeed, outgoing, rows, send, text } from './bench.ts';

export function publishing(bench: Bench): void {
  it('gives ids that rise over all channels, and past every answer already given, to 20 publishers at once', async () => {
    const all: string[] = [];
    let newest: Position = zero;
    const publisher = async (_: unknown, p: number) => {
      for (let i = 0; i < 100; i++) {
        const answered = newest;
        const mine = await send(bench.redis, `load:${(p + i) % 7}`, { p, i });
        expect(comparePositions(mine, answered)).toBeGreaterThan(0);
        if (comparePositions(mine, newest) > 0) newest = mine;
        all.push(mine.id);
      }
    };
    await Promise.all(Array.from({ length: 20 }, publisher));
    expect(new Set(all).size).toBe(2_000);
    expect(new Set(all.map((id) => id.split('-')[0])).size).toBe(1);
    const kept = await Promise.all(Array.from({ length: 7 }, (_, i) => rows(bench.direct, `load:${i}`)));
    expect(kept.flat().length).toBe(2_000);
  });

  it('sends one envelope on three names: the channel, its root, and all', async () => {
    const { keys } = bench.direct;
    const names = [keys.channelName(channel('user:42:inbox')), keys.rootName('user'), keys.allName];
    expect(names).toEqual(['{ew:default}:c:user:42:inbox', '{ew:default}:r:user', '{ew:default}:all']);
    const listeners = await Promise.all(names.map((name) => listen(bench.redisUrl, name)));
    const first = await send(bench.redis, 'user:42:inbox', 'one');
    const second = await send(bench.redis, 'user:42:inbox', 'two', { length: 0 });
    await send(bench.redis, 'other', 'three');
    const [one, two] = [first, second].map((m, i) => {
      const previous = i === 0 ? '0-0' : text(first);
      const json = `{"id":"${m.id}","channel":"user:42:inbox","type":"test","timestamp":${m.ms},"data":"${i ? 'two' : 'one'}"}`;
      return `1 ${text(m)} ${previous} ${m.epoch} user:42:inbox\n${json}`;
    });
    expect(await listeners[2]!.until(3)).toEqual([one, two, expect.stringContaining(' other\n')]);
    expect(await listeners[1]!.until(2)).toEqual([one, two]);
    expect(await listeners[0]!.until(2)).toEqual([one, two]);
    for (const listener of listeners) listener.close();
  });

  it('links each message to the one before it on its channel, kept or not', async () => {
    const a1 = await send(bench.redis, 'a');
    await send(bench.redis, 'b');
    const a2 = await send(bench.redis, 'a', 0, { length: 0 });
    const a3 = await send(bench.redis, 'a');
    const links = (await rows(bench.direct, 'a')).map(({ position, p }) => [position, p]);
    expect(links).toEqual([
      [text(a1), '0-0'],
      [text(a3), text(a2)],
    ]);
  });

  const payloads = [
    '9007199254740993',
    '-0',
    '1.0',
    '1e400',
    '{"b":1,"a":2,"b":3}',
    '"\\u0000\\ud800\\u2028"',
    '"\u2028\u2029\u0085 \u007f é 漢 🚀"',
    '"quotes \\" and \\\\ backslashes \\\\n %d %s %1 %% %f"',
    '"]] ]=] \' $$ {ew:default} ARGV[1]"',
    `"${'x'.repeat(256 << 10)}"`,
    '[]',
    'null',
    '""',
  ];

  it.each(payloads)('passes a payload on to the letter: %#', async (json) => {
    const options = { type: 'a "quoted" %type', meta: { 'x"y': '%s' }, priority: 'high' as const };
    const { id } = (await bench.redis.run(publish, { seed: newSeed(), ...outgoing('a', json, options) })) as {
      id: string;
    };
    const [row] = await rows(bench.direct, 'a');
    expect(row!.d).toBe(
      `{"id":"${id}","channel":"a","type":"a \\"quoted\\" %type","timestamp":${row!.position.split('-')[0]},` +
        `"meta":{"x\\"y":"%s"},"priority":"high","data":${json}}`,
    );
  });

  it('says when a message of limited life expires, in the message and beside it', async () => {
    const { ms } = await send(bench.redis, 'a', 1, { ttlMs: 90_000 });
    const [row] = await rows(bench.direct, 'a');
    expect(JSON.parse(row!.d)).toMatchObject({ timestamp: ms, expires: ms + 90_000 });
    expect(row!.x).toBe(String(ms + 90_000));
    await send(bench.redis, 'b', 1);
    const [unlimited] = await rows(bench.direct, 'b');
    expect(unlimited).not.toHaveProperty('x');
    expect(JSON.parse(unlimited!.d)).not.toHaveProperty('expires');
  });

  it('keeps nothing of a message not kept but its place', async () => {
    const sent = await send(bench.redis, 'a', 1, { length: 0 });
    expect(sent.stored).toBe(false);
    expect(await bench.direct.call('EXISTS', [bench.direct.keys.stream(channel('a'))])).toBe(0);
    expect(await hash(bench.direct, bench.direct.keys.last)).toEqual({ '!': sent.epoch, a: `${text(sent)} n` });
    const kept = await send(bench.redis, 'a');
    expect(kept.stored).toBe(true);
    expect(await hash(bench.direct, bench.direct.keys.last)).toEqual({ '!': sent.epoch, a: text(kept) });
  });

  it('notes when each channel was last heard, kept or not', async () => {
    const [a, b] = [await send(bench.redis, 'a'), await send(bench.redis, 'b', 0, { length: 0 })];
    const index = await bench.direct.call('ZRANGE', [bench.direct.keys.index, '0', '-1', 'WITHSCORES']);
    expect(index).toEqual(['a', String(a.ms), 'b', String(b.ms)]);
  });

  it('trims a channel to about its length, oldest first', async () => {
    const sent = await Promise.all(Array.from({ length: 350 }, (_, i) => send(bench.redis, 'a', i, { length: 100 })));
    const kept = await rows(bench.direct, 'a');
    expect(kept.length).toBeGreaterThanOrEqual(100);
    expect(kept.length).toBeLessThanOrEqual(200); // by whole nodes of 100
    const order = sent.sort(comparePositions).map(text);
    expect(kept.map((row) => row.position)).toEqual(order.slice(-kept.length));
  });

  it('keeps a channel for its time after the last message', async () => {
    const stream = bench.direct.keys.stream(channel('a'));
    await send(bench.redis, 'a', 0, { keepMs: 90_000 });
    expect(await bench.direct.call('PTTL', [stream])).toSatisfy((ms: number) => ms > 30_000 && ms <= 90_000);
    await bench.direct.call('PEXPIRE', [stream, '1000000000']);
    await send(bench.redis, 'a', 0, { keepMs: 90_000 });
    expect(await bench.direct.call('PTTL', [stream])).toSatisfy((ms: number) => ms > 30_000 && ms <= 90_000);
  });
}
