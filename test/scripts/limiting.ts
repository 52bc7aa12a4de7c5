import { expect, it } from 'vitest';
import { always, type Revocable } from '../../shared/revocation.ts';
import type { Asked } from '../../shared/scripts/asked.ts';
import { batch } from '../../shared/scripts/batch.ts';
import { history, message, purge } from '../../shared/scripts/history.ts';
import { type Idempotency, publish } from '../../shared/scripts/publish.ts';
import { admit, revocations, revoke } from '../../shared/scripts/revocation.ts';
import { type Bench, channel, hash, listen, newSeed, outgoing, rows, send } from './bench.ts';

/** So coarse that no test waits long enough for a message to come back by itself. */
const hourly = (messages: number, digest = 'who'): Asked => ({
  limit: { digest, rate: { messages, perMs: 3_600_000 } },
});
const token: Revocable = { names: ['j:1', 's:ada'], issuedMs: 1_000 };
const limited = { kind: 'limited' };
const revoked = { kind: 'revoked' };

export function limiting(bench: Bench): void {
  const one = (asked: Asked, idempotency?: Idempotency, name = 'a') =>
    bench.redis.run(publish, {
      seed: newSeed(),
      ...outgoing(name, '1'),
      ...asked,
      ...(idempotency && { idempotency }),
    });
  const many = (count: number, asked: Asked, idempotency?: Idempotency) =>
    bench.redis.run(batch, {
      seed: newSeed(),
      items: Array.from({ length: count }, (_, index) => ({ ...outgoing('a', '1'), index })),
      ...asked,
      ...(idempotency && { idempotency }),
    });
  const ban = (name: string, beforeMs = always, untilMs = always, revocationsMax = 10) =>
    bench.redis.run(revoke, { name, beforeMs, untilMs, revocationsMax });

  it('lets the whole allowance through at once, then nothing, and a limited publish changes nothing', async () => {
    for (let left = 2; left >= 0; left--) {
      const reply = await one(hourly(3));
      expect(reply).toMatchObject({ status: 'new' });
    }
    const before = await bench.direct.dump();
    await expect(one(hourly(3))).rejects.toMatchObject(limited);
    await expect(many(1, hourly(3))).rejects.toMatchObject(limited);
    expect(await bench.direct.dump()).toEqual(before);
    expect(await rows(bench.direct, 'a')).toHaveLength(3);
    expect((await one(hourly(3, 'somebody else'))).status).toBe('new');
  });

  it('gives one back for each share of the window that has passed, exactly, and all after the whole', async () => {
    const key = bench.direct.keys.limiter('who');
    const everyMicros = 1_200_000_000; // 3 an hour
    /** Moves Redis's clock for the limiter: what it knows lies so much longer back. */
    const pass = async (micros: number) => {
      const at = Number(await bench.direct.call('GET', [key]));
      await bench.direct.call('SET', [key, String(at - micros), 'KEEPTTL']);
    };
    for (let i = 0; i < 3; i++) await one(hourly(3));
    await pass(everyMicros - 10_000_000);
    await expect(one(hourly(3))).rejects.toMatchObject(limited);
    await pass(10_000_000);
    expect((await one(hourly(3))).status).toBe('new');
    await expect(one(hourly(3))).rejects.toMatchObject(limited);
    await pass(3 * everyMicros);
    for (let i = 0; i < 3; i++) expect((await one(hourly(3))).status).toBe('new');
    await expect(one(hourly(3))).rejects.toMatchObject(limited);
    expect(await bench.direct.call('PTTL', [key])).toSatisfy((ms: number) => ms > 3_500_000 && ms <= 3_600_000);
  });

  it('costs one window, not more, when the clock jumps back or something else lies at the key', async () => {
    const key = bench.direct.keys.limiter('who');
    const farMicros = (Date.now() + 30 * 86_400_000) * 1000;
    await bench.direct.call('SET', [key, String(farMicros)]);
    await expect(one(hourly(3))).rejects.toMatchObject({ ...limited, message: 'LIMITED 3600000000' });
    await bench.direct.call('DEL', [key]);
    await bench.direct.call('RPUSH', [key, 'foreign']);
    expect((await one(hourly(3))).status).toBe('new');
    expect(await bench.direct.call('TYPE', [key])).toBe('string');
  });

  it('takes a batch whole or refuses it whole, and counts what was published', async () => {
    await many(3, hourly(5));
    const before = await bench.direct.dump();
    await expect(many(3, hourly(5))).rejects.toMatchObject(limited);
    await expect(many(6, hourly(5))).rejects.toMatchObject(limited);
    expect(await bench.direct.dump()).toEqual(before);
    expect(await many(2, hourly(5))).toMatchObject({ status: 'new', results: [{ index: 0 }, { index: 1 }] });
    await expect(one(hourly(5))).rejects.toMatchObject(limited);
  });

  it('does not count what Redis refused', async () => {
    await bench.direct.call('SET', [bench.direct.keys.stream(channel('bad')), 'no stream']);
    await expect(one(hourly(1), undefined, 'bad')).rejects.toMatchObject({ kind: 'wrongtype' });
    const items = ['bad', 'a'].map((name, index) => ({ ...outgoing(name, '1'), index }));
    await bench.redis.run(batch, { seed: newSeed(), items, ...hourly(2) });
    expect((await one(hourly(2))).status).toBe('new');
    await expect(one(hourly(2))).rejects.toMatchObject(limited);
  });

  it.each(['publish', 'batch'])('neither limits nor counts a repeated %s', async (script) => {
    const key = { digest: 'd', fingerprint: 'f', keepMs: 60_000 };
    const ask = () => (script === 'publish' ? one(hourly(1), key) : many(1, hourly(1), key));
    expect((await ask()).status).toBe('new');
    const before = await bench.direct.dump();
    for (let i = 0; i < 3; i++) expect((await ask()).status).toBe('again');
    expect(await one(hourly(1), { ...key, fingerprint: 'other' })).toEqual({ status: 'conflict' });
    expect(await bench.direct.dump()).toEqual(before);
    await expect(one(hourly(1))).rejects.toMatchObject(limited);
  });

  it('refuses to everyone who is revoked, in each script, and changes nothing', async () => {
    const { id } = await send(bench.redis, 'a');
    await bench.redis.run(purge, { channel: channel('none') });
    for (const [name, beforeMs] of [
      ['j:1', always],
      ['s:ada', 1_001],
    ] as const) {
      await bench.direct.call('DEL', [bench.direct.keys.revoked]);
      await bench.redis.run(admit, { by: token });
      await ban(name, beforeMs);
      const before = await bench.direct.dump();
      const [, ms, seq] = id.split('-').map(Number);
      const asks: (() => Promise<unknown>)[] = [
        () => one({ by: token, ...hourly(3) }, { digest: 'd', fingerprint: 'f', keepMs: 60_000 }),
        () => many(2, { by: token, ...hourly(3) }, { digest: 'd', fingerprint: 'f', keepMs: 60_000 }),
        () =>
          bench.redis.run(history, {
            by: token,
            channel: channel('a'),
            cursorEpoch: '',
            order: 'asc',
            limit: 1,
            bytesMax: 1_000,
          }),
        () => bench.redis.run(message, { by: token, channel: channel('a'), position: { ms: ms!, seq: seq! } }),
        () => bench.redis.run(purge, { by: token, channel: channel('a') }),
        () => bench.redis.run(admit, { by: token }),
        () => bench.redis.run(revoke, { by: token, name: 'k:x', beforeMs: 1, untilMs: 1, revocationsMax: 10 }),
      ];
      for (const ask of asks) await expect(ask()).rejects.toMatchObject(revoked);
      expect(await bench.direct.dump()).toEqual(before);
    }
  });

  it('does not touch who was issued later, is called otherwise, or cannot be revoked', async () => {
    await ban('s:ada', 1_000);
    await ban('j:2');
    await ban('k:ada');
    for (const by of [token, { names: ['k:other', ''], issuedMs: 0 } as const, undefined]) {
      expect((await one({ by })).status).toBe('new');
    }
  });

  it('tells the relays, keeps the later of two times, and lists what is still of use', async () => {
    const listener = await listen(bench.redisUrl, bench.direct.keys.controlName);
    const names = 's:a d\u2028a "x" 3';
    await ban(names, 2_000);
    await ban(names, 1_000);
    await ban('j:old', always, 1);
    expect(await listener.until(3)).toEqual([`3 2000 ${names}`, `3 1000 ${names}`, `3 ${always} j:old`]);
    expect(await bench.redis.run(revocations, {})).toEqual(new Map([[names, 2_000]]));
    expect(await hash(bench.direct, bench.direct.keys.revoked)).toEqual({ [names]: `2000 ${always}` });
    listener.close();
  });

  it('takes in no more than its bound, but what is there may be renewed', async () => {
    for (const name of ['j:1', 'j:2']) expect(await ban(name, 1, always, 2)).toBe(true);
    expect(await ban('j:3', 1, always, 2)).toBe(false);
    expect(await ban('j:2', 5, always, 2)).toBe(true);
    expect(await bench.redis.run(revocations, {})).toEqual(
      new Map([
        ['j:1', 1],
        ['j:2', 5],
      ]),
    );
  });
}
