import { expect, it } from 'vitest';
import { RedisRefused } from '../../shared/redis.ts';
import { batch } from '../../shared/scripts/batch.ts';
import { type Bench, channel, hash, newSeed, outgoing, rows, send, text } from './bench.ts';

export function refusals(bench: Bench): void {
  const setMemory = (bytes: string) => bench.direct.call('CONFIG', ['SET', 'maxmemory', bytes]);

  it.each(['before anything was published', 'after'])(
    'for a key of another type leaves Redis as it was: %s',
    async (when) => {
      if (when === 'after') await send(bench.redis, 'b');
      const stream = bench.direct.keys.stream(channel('a'));
      await bench.direct.call('SET', [stream, 'something else']);
      const before = await bench.direct.dump();
      await expect(send(bench.redis, 'a')).rejects.toSatisfy(
        (e) => e instanceof RedisRefused && e.kind === 'wrongtype',
      );
      expect(await bench.direct.dump()).toEqual(before);
      await bench.direct.call('DEL', [stream]);
      await send(bench.redis, 'a');
      expect(await rows(bench.direct, 'a')).toHaveLength(1);
    },
  );

  it.each(['index', 'last', 'clock'] as const)('for a damaged %s leaves Redis as it was', async (name) => {
    await send(bench.redis, 'a');
    const key = bench.direct.keys[name];
    await bench.direct.call('SET', [key, 'something else']);
    const before = await bench.direct.dump();
    for (const length of [10_000, 0]) {
      await expect(send(bench.redis, 'a', 1, { length })).rejects.toMatchObject({ kind: 'wrongtype' });
    }
    expect(await bench.direct.dump()).toEqual(before);
  });

  it.each([
    ['kept', 10_000],
    ['not kept', 0],
  ])('for want of memory leaves Redis as it was: a message %s', async (_, length) => {
    await send(bench.redis, 'a');
    const before = await bench.direct.dump();
    await setMemory('1');
    const key = { digest: 'd', fingerprint: 'f', keepMs: 86_400_000 };
    await expect(send(bench.redis, 'a', 1, { length, idempotency: key })).rejects.toMatchObject({ kind: 'oom' });
    await expect(send(bench.redis, 'new', 1, { length })).rejects.toMatchObject({ kind: 'oom' });
    expect(await bench.direct.dump()).toEqual(before);
    await setMemory('0');
    await send(bench.redis, 'a', 1, { length, idempotency: key });
  });

  it('for want of memory answers every item of a batch, and leaves Redis as it was', async () => {
    await send(bench.redis, 'a');
    const before = await bench.direct.dump();
    await setMemory('1');
    const items = [10_000, 0, 10_000].map((length, index) => ({ ...outgoing(`c${index}`, '1', { length }), index }));
    const reply = await bench.redis.run(batch, {
      seed: newSeed(),
      items,
      idempotency: { digest: 'd', fingerprint: 'f', keepMs: 86_400_000 },
    });
    expect(reply).toEqual({ status: 'new', results: [0, 1, 2].map((index) => ({ index, refused: 'oom' })) });
    expect(await bench.direct.dump()).toEqual(before);
  });

  it('that does not know a script costs one more round trip and nothing else', async () => {
    const first = await send(bench.redis, 'a', 1);
    await bench.direct.call('SCRIPT', ['FLUSH']);
    const second = await send(bench.redis, 'a', 2);
    expect((await rows(bench.direct, 'a')).map(({ position }) => position)).toEqual([text(first), text(second)]);
  });

  it.each(['clock lost', 'clock behind'])('is not given to a stream that is ahead: %s', async (how) => {
    await send(bench.redis, 'a');
    const { keys } = bench.direct;
    const ahead = 9_000_000_000_000;
    await bench.direct.call('XADD', [keys.stream(channel('a')), `${ahead}-7`, 'd', '{}', 'p', '0-0', 'e', 'old']);
    if (how === 'clock lost') await bench.direct.call('DEL', [keys.clock]);
    const healed = await send(bench.redis, 'a', 'healed');
    expect(text(healed)).toBe(`${ahead}-8`);
    expect(JSON.parse((await rows(bench.direct, 'a')).at(-1)!.d)).toMatchObject({ id: healed.id, timestamp: ahead });
    expect((await hash(bench.direct, keys.clock)).t).toBe(`${ahead}-8`);
    expect(text(await send(bench.redis, 'b'))).toBe(`${ahead}-9`);
  });
}
