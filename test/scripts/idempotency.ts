import { expect, it } from 'vitest';
import { batch } from '../../shared/scripts/batch.ts';
import { type Idempotency, publish } from '../../shared/scripts/publish.ts';
import { type Bench, channel, listen, newSeed, outgoing, rows, send } from './bench.ts';

const same = { digest: 'd1', fingerprint: 'f1', keepMs: 86_400_000 };
const other = { digest: 'd1', fingerprint: 'f2', keepMs: 86_400_000 };

export function idempotency(bench: Bench): void {
  const publishWith = (key: Idempotency, name = 'a') =>
    bench.redis.run(publish, { seed: newSeed(), ...outgoing(name, '1'), idempotency: key });
  const batchWith = (key: Idempotency, ...names: string[]) =>
    bench.redis.run(batch, {
      seed: newSeed(),
      items: names.map((name, index) => ({ ...outgoing(name, '1'), index })),
      idempotency: key,
    });

  it('gives the first answer again, and changes and sends nothing', async () => {
    const listener = await listen(bench.redisUrl, bench.direct.keys.allName);
    const first = await publishWith(same);
    expect(first.status).toBe('new');
    const before = await bench.direct.dump();
    expect(await publishWith(same)).toEqual({ ...first, status: 'again' });
    expect(await bench.direct.dump()).toEqual(before);
    const { id } = await send(bench.redis, 'a', 'sentinel');
    expect(await listener.until(2)).toEqual([expect.anything(), expect.stringContaining(id)]);
    listener.close();
  });

  it('says again that a message was not kept', async () => {
    const once = () => send(bench.redis, 'a', 1, { length: 0, idempotency: same });
    const first = await once();
    expect(await once()).toEqual({ ...first, status: 'again', stored: false });
  });

  it('conflicts when something else is asked, and changes nothing', async () => {
    await publishWith(same);
    const before = await bench.direct.dump();
    expect(await publishWith(other)).toEqual({ status: 'conflict' });
    expect(await bench.direct.dump()).toEqual(before);
  });

  it('publishes once, however many ask at once', async () => {
    const replies = await Promise.all(Array.from({ length: 20 }, () => publishWith(same)));
    expect(replies.filter(({ status }) => status === 'new')).toHaveLength(1);
    expect(new Set(replies.map((reply) => 'id' in reply && reply.id)).size).toBe(1);
    expect(await rows(bench.direct, 'a')).toHaveLength(1);
  });

  it.each(['publish', 'batch'])('is remembered for as long as it is told by %s', async (script) => {
    const send = (key: Idempotency) => (script === 'publish' ? publishWith(key) : batchWith(key, 'a'));
    await send({ digest: 'd2', fingerprint: '-', keepMs: 60_000 });
    const minute = await bench.direct.call('PTTL', [bench.direct.keys.idempotency('d2')]);
    expect(minute).toSatisfy((ms: number) => ms > 50_000 && ms <= 60_000);
    await send(same);
    const record = bench.direct.keys.idempotency('d1');
    const day = 24 * 3_600_000;
    expect(await bench.direct.call('PTTL', [record])).toSatisfy((ms: number) => ms > day - 60_000 && ms <= day);
    await bench.direct.call('DEL', [record]);
    expect((await publishWith(same)).status).toBe('new');
  });

  it('is one for both scripts: what one recorded, the other sees', async () => {
    await publishWith(same);
    expect(await batchWith(other, 'a')).toEqual({ status: 'conflict' });
    await bench.direct.call('FLUSHALL', []);
    await batchWith(same, 'a', 'b');
    expect(await publishWith(other)).toEqual({ status: 'conflict' });
  });

  it('answers from its record when everything else is gone', async () => {
    const first = await publishWith(same);
    const { clock, last, index, stream } = bench.direct.keys;
    await bench.direct.call('DEL', [clock, last, index, stream(channel('a'))]);
    expect(await publishWith(same)).toEqual({ ...first, status: 'again' });
  });

  it('records nothing for a publish that was refused, so a retry after the repair is new', async () => {
    const stream = bench.direct.keys.stream(channel('a'));
    await bench.direct.call('SET', [stream, 'something else']);
    await expect(publishWith(same)).rejects.toMatchObject({ kind: 'wrongtype' });
    expect(await bench.direct.call('EXISTS', [bench.direct.keys.idempotency('d1')])).toBe(0);
    await bench.direct.call('DEL', [stream]);
    expect((await publishWith(same)).status).toBe('new');
  });

  it('covers a batch whole, its failures included', async () => {
    const stream = bench.direct.keys.stream(channel('bad'));
    await bench.direct.call('SET', [stream, 'something else']);
    const first = await batchWith(same, 'a', 'bad', 'b');
    expect(first).toMatchObject({
      status: 'new',
      results: [{ index: 0 }, { index: 1, refused: 'wrongtype' }, { index: 2 }],
    });
    await bench.direct.call('DEL', [stream]);
    expect(await batchWith(same, 'a', 'bad', 'b')).toEqual({ ...first, status: 'again' });
    expect(await batchWith(other, 'a')).toEqual({ status: 'conflict' });
  });

  it('records nothing for a batch of which nothing was published', async () => {
    const stream = bench.direct.keys.stream(channel('bad'));
    await bench.direct.call('SET', [stream, 'something else']);
    const before = await bench.direct.dump();
    expect(await batchWith(same, 'bad', 'bad')).toMatchObject({ status: 'new' });
    expect(await bench.direct.dump()).toEqual(before);
    await bench.direct.call('DEL', [stream]);
    expect(await batchWith(same, 'bad', 'bad')).toMatchObject({
      status: 'new',
      results: [{ stored: true }, { stored: true }],
    });
  });
}
