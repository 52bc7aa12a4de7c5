import { expect, it } from 'vitest';
import { comparePositions, parseId } from '../../shared/id.ts';
import { batch } from '../../shared/scripts/batch.ts';
import { type Bench, channel, hash, listen, newSeed, outgoing, rows, sendAll, text } from './bench.ts';

export function batching(bench: Bench): void {
  it('gives one order to its items, several of one channel among them', async () => {
    const names = ['a', 'b', 'a', 'c', 'a'];
    const listener = await listen(bench.redisUrl, bench.direct.keys.allName);
    const sent = await sendAll(
      bench.redis,
      names.map((name, i) => outgoing(name, String(i))),
    );
    expect(sent).toEqual([...sent].sort(comparePositions));
    expect(new Set(sent.map(({ id }) => id)).size).toBe(5);
    expect((await listener.until(5)).map((envelope) => JSON.parse(envelope.split('\n')[1]!))).toEqual(
      names.map((name, i) => expect.objectContaining({ id: sent[i]!.id, channel: name, data: i })),
    );
    const [a1, , a2, , a3] = sent.map(text);
    expect((await rows(bench.direct, 'a')).map(({ position, p }) => [position, p])).toEqual([
      [a1, '0-0'],
      [a2, a1],
      [a3, a2],
    ]);
    expect((await hash(bench.direct, bench.direct.keys.clock)).t).toBe(a3);
    listener.close();
  });

  it('answers each item by itself: what fails leaves the others as they are', async () => {
    await bench.direct.call('SET', [bench.direct.keys.stream(channel('bad')), 'something else']);
    const listener = await listen(bench.redisUrl, bench.direct.keys.allName);
    const items = ['a', 'bad', 'b', 'bad', 'bad'].map((name, index) => ({ ...outgoing(name, String(index)), index }));
    items[4]!.length = 0; // not kept, so the damaged stream is not in its way
    const reply = await bench.redis.run(batch, { seed: newSeed(), items });
    if (reply.status === 'conflict') throw new Error('a conflict');
    expect(reply.results).toEqual([
      { index: 0, id: expect.anything(), stored: true },
      { index: 1, refused: 'wrongtype' },
      { index: 2, id: expect.anything(), stored: true },
      { index: 3, refused: 'wrongtype' },
      { index: 4, id: expect.anything(), stored: false },
    ]);
    const heard = (await listener.until(3)).map((envelope) => JSON.parse(envelope.split('\n')[1]!));
    expect(heard.map(({ data }) => data)).toEqual([0, 2, 4]);
    expect(heard.map(({ id }) => id)).toEqual(reply.results.flatMap((result) => ('id' in result ? [result.id] : [])));
    expect(Object.keys(await hash(bench.direct, bench.direct.keys.last)).sort()).toEqual(['!', 'a', 'b', 'bad']);
    listener.close();
  });

  it('takes 1,000 items over 10 channels', async () => {
    const messages = Array.from({ length: 1_000 }, (_, i) => outgoing(`c:${i % 10}`, JSON.stringify({ i, '%': '🚀' })));
    const sent = await sendAll(bench.redis, messages);
    expect(sent).toHaveLength(1_000);
    expect(sent).toEqual([...sent].sort(comparePositions));
    for (let c = 0; c < 10; c++) {
      const data = (await rows(bench.direct, `c:${c}`)).map(({ d }) => JSON.parse(d).data.i);
      expect(data).toEqual(Array.from({ length: 100 }, (_, i) => i * 10 + c));
    }
  });

  it('answers by the places its items had in the request, some of which never came here', async () => {
    const items = [3, 17, 999].map((index) => ({ ...outgoing('a', String(index)), index }));
    const reply = await bench.redis.run(batch, { seed: newSeed(), items });
    if (reply.status === 'conflict') throw new Error('a conflict');
    expect(reply.results.map(({ index }) => index)).toEqual([3, 17, 999]);
  });

  it('keeps each item by its own terms', async () => {
    const [a, b, c] = await sendAll(bench.redis, [
      outgoing('a', '1', { keepMs: 90_000, ttlMs: 5_000 }),
      outgoing('b', '1', { length: 0 }),
      outgoing('c', '1', { keepMs: 9_000_000 }),
    ]);
    const ttl = (name: string) => bench.direct.call('PTTL', [bench.direct.keys.stream(channel(name))]);
    expect(await Promise.all(['a', 'b', 'c'].map(ttl))).toEqual([
      expect.toSatisfy((ms: number) => ms > 30_000 && ms <= 90_000),
      -2,
      expect.toSatisfy((ms: number) => ms > 8_940_000 && ms <= 9_000_000),
    ]);
    expect((await rows(bench.direct, 'a'))[0]).toMatchObject({ position: text(a!), x: String(a!.ms + 5_000) });
    expect(parseId(b!.id)).toBeDefined();
    expect(await hash(bench.direct, bench.direct.keys.last)).toMatchObject({ b: `${text(b!)} n`, c: text(c!) });
  });
}
