import { expect, test } from 'vitest';
import { createLog } from '../../relay/log.ts';
import { createRevocations } from '../../relay/revocations.ts';
import type { Grant } from '../../shared/grant.ts';
import { RedisAway } from '../../shared/redis.ts';

const ada: Grant = { kind: 'token', principal: 'ada', scopes: [], revocable: { names: ['j:1', 's:ada'], issuedMs: 5 } };
const bytes = (text: string) => new TextEncoder().encode(text);
const turn = () => new Promise((resolve) => setImmediate(resolve));

/** With a Redis whose answers are given by hand, and a clock that is moved. */
function bench() {
  const reads: PromiseWithResolvers<Map<string, number>>[] = [];
  let now = 0;
  let more = 0;
  const run = () => {
    const read = Promise.withResolvers<Map<string, number>>();
    reads.push(read);
    return read.promise;
  };
  const redis = { run } as never;
  const revocations = createRevocations({ redis, log: createLog('silent'), now: () => now, onMore: () => more++ });
  return {
    revocations,
    reads,
    more: () => more,
    pass(ms: number) {
      now += ms;
      revocations.tick();
    },
    async answer(...entries: [string, number][]) {
      reads.at(-1)!.resolve(new Map(entries));
      await turn();
    },
  };
}

test('nobody is taken in before the first reading, and it is tried again each second until it succeeds', async () => {
  const { revocations, reads, pass, answer } = bench();
  revocations.read();
  pass(1_000);
  expect([revocations.known, reads.length]).toEqual([false, 1]); // one at a time
  reads[0]!.reject(new RedisAway('no'));
  await turn();
  pass(1_000);
  expect([revocations.known, reads.length]).toEqual([false, 2]);
  await answer();
  expect(revocations.known).toBe(true);
});

test('it is read again every 30 seconds, and only what is new is acted on', async () => {
  const { revocations, reads, more, pass, answer } = bench();
  revocations.read();
  await answer(['s:ada', 6]);
  expect([more(), revocations.covers(ada)]).toEqual([1, true]);
  pass(29_999);
  expect(reads).toHaveLength(1);
  pass(1);
  expect(reads).toHaveLength(2);
  await answer(['s:ada', 6]);
  expect(more()).toBe(1);
  pass(30_000);
  await answer();
  expect([more(), revocations.covers(ada)]).toEqual([1, false]); // what is over is forgotten
});

test('what is heard while a reading is under way is not undone by its answer', async () => {
  const { revocations, more, answer } = bench();
  revocations.read();
  expect(revocations.hear(bytes('3 9 j:1'))).toBe(true);
  expect(revocations.hear(bytes('3 9 j:1'))).toBe(true);
  expect([more(), revocations.covers(ada)]).toEqual([1, true]);
  await answer();
  expect([more(), revocations.covers(ada), revocations.known]).toEqual([1, true, true]);
});

test('a reading that began before the subscription was lost proves nothing afterwards', async () => {
  const { revocations, reads, answer } = bench();
  revocations.read();
  revocations.lost();
  revocations.read(); // the subscription is whole again
  await answer();
  expect([revocations.known, reads.length]).toEqual([false, 2]);
  await answer(['j:1', 6]);
  expect([revocations.known, revocations.covers(ada)]).toEqual([true, true]);
});

test('what was issued at or after the time, and who cannot be revoked, is not covered', async () => {
  const { revocations, answer } = bench();
  revocations.read();
  await answer(['j:1', 5], ['', 99], ['s:Ada', 99]);
  expect(revocations.covers(ada)).toBe(false);
  expect(revocations.covers({ kind: 'anonymous', principal: 'anonymous', scopes: [] })).toBe(false);
});
