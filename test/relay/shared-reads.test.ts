import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createSharedReads } from '../../relay/shared-reads.ts';
import { connectDirect, type Direct } from '../helpers/redis.ts';
import { controlsOf, messagesOf, openStream } from '../helpers/sse.ts';
import { type Stack, startStack } from '../helpers/stack.ts';

/** Reads that are answered, and pauses that end, when the test says so. */
function bench() {
  const reads: PromiseWithResolvers<string>[] = [];
  const pauses: PromiseWithResolvers<void>[] = [];
  const shared = createSharedReads(() => {
    pauses.push(Promise.withResolvers());
    return pauses.at(-1)!.promise;
  });
  const read = () => {
    reads.push(Promise.withResolvers());
    return reads.at(-1)!.promise;
  };
  const settled = () => new Promise((resolve) => setImmediate(resolve));
  return { reads, pauses, settled, ask: (key = 'k') => shared(key, read) };
}

describe('shared reads', () => {
  test('are begun at once for whoever is first, and after that only when the one before is over and some time has passed', async () => {
    const { reads, pauses, settled, ask } = bench();
    const first = ask();
    const crowd = [ask(), ask(), ask()];
    expect(reads).toHaveLength(1);
    reads[0]!.resolve('one');
    expect(await first).toBe('one');
    await settled();
    expect(reads).toHaveLength(1); // too soon
    const late = ask();
    pauses[0]!.resolve();
    await settled();
    expect(reads).toHaveLength(2);
    reads[1]!.resolve('two');
    expect(await Promise.all([...crowd, late])).toEqual(['two', 'two', 'two', 'two']);
  });

  test('are never given to who asked after they began: something may have happened in between', async () => {
    const { reads, pauses, settled, ask } = bench();
    const before = ask();
    pauses[0]!.resolve();
    const after = ask();
    reads[0]!.resolve('old');
    expect(await before).toBe('old');
    await settled();
    reads[1]!.resolve('new');
    expect(await after).toBe('new');
  });

  test('fail for all who share them, and for nobody else', async () => {
    const { reads, pauses, settled, ask } = bench();
    const first = ask();
    const second = [ask(), ask()];
    pauses[0]!.resolve();
    reads[0]!.reject(new Error('away'));
    await expect(first).rejects.toThrow('away');
    await settled();
    const third = ask();
    reads[1]!.reject(new Error('away again'));
    for (const one of second) await expect(one).rejects.toThrow('away again');
    pauses[1]!.resolve();
    await settled();
    reads[2]!.resolve('back');
    expect(await third).toBe('back');
  });

  test('of other keys do not wait, and nothing is remembered when nobody asks any more', async () => {
    const { reads, pauses, settled, ask } = bench();
    void ask('a');
    void ask('b');
    expect(reads).toHaveLength(2);
    for (const read of reads) read.resolve('');
    for (const pause of pauses) pause.resolve();
    await settled();
    void ask('a');
    expect(reads).toHaveLength(3); // at once: it is the first again
  });
});

describe('a crowd of readers that comes from another relay', () => {
  let stack: Stack;
  let redis: Direct;
  beforeAll(async () => {
    stack = await startStack();
    redis = await connectDirect(stack.redis.url);
  });
  afterAll(async () => {
    redis.close();
    await stack.stop();
  });

  test('is brought up to date by a few reads, each reader with everything, while publishing goes on', async () => {
    const cursor = await redis.publish('news', 'seen');
    for (let i = 0; i < 100; i++) await redis.publish('news', i);
    await redis.call('CONFIG', ['RESETSTAT']);
    let more = 100;
    const publishing = setInterval(() => void redis.publish('news', more++), 5);
    const streams = await Promise.all(
      Array.from({ length: 300 }, () =>
        openStream(`${stack.relayUrl}/v1/stream?channel=news`, { 'Last-Event-ID': cursor }),
      ),
    );
    await Promise.all(streams.map((stream) => stream.until((blocks) => messagesOf(blocks).length >= 110)));
    clearInterval(publishing);
    const stats = String(await redis.call('INFO', ['commandstats']));
    const end = await redis.publish('news', 'end');
    await Promise.all(streams.map((stream) => stream.until(() => stream.lastId === end)));
    for (const stream of streams) {
      expect(messagesOf(stream.blocks).map(({ data }) => data)).toEqual([...Array(more).keys(), 'end']);
      expect(controlsOf(stream.blocks, 'gap')).toEqual([]);
      stream.cut();
    }
    const xranges = Number(/cmdstat_xrange:calls=(\d+)/.exec(stats)![1]);
    expect(xranges).toBeLessThan(300); // one by one they would be some 1,800
  });
});
