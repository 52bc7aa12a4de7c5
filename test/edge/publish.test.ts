import { createHash } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { parseChannel } from '../../shared/channel.ts';
import { post } from '../helpers/publish.ts';
import { connectDirect, type Direct } from '../helpers/redis.ts';
import { type Stack, startStack } from '../helpers/stack.ts';
import { type Door, openDoor } from './door.ts';

/** Two keys of one principal, as during a rotation, and one of somebody else. */
const keys = { old: keyOf('old'), renewed: keyOf('renewed'), other: keyOf('other') };
const scopes = [{ actions: ['publish', 'read'], patterns: ['*'] }];
const apiKeys = Object.entries(keys).map(([id, key]) => ({
  id,
  principal: id === 'other' ? 'warehouse' : 'shop',
  sha256: createHash('sha256').update(key).digest('hex'),
  scopes,
}));

let door: Door;
let stack: Stack;
let redis: Direct;

beforeAll(async () => {
  door = await openDoor();
  const edgeVars = { UPSTASH_REDIS_REST_URL: door.url, API_KEYS: JSON.stringify(apiKeys) };
  stack = await startStack({ edge: true, edgeVars });
  door.target = stack.relayUrl;
  redis = await connectDirect(stack.redis.url);
});
afterAll(async () => {
  redis.close();
  await stack.stop();
  await door.close();
});
beforeEach(() => void door.taken());

function keyOf(id: string): string {
  return `ew_dev_${id}_${id.padEnd(43, 'A')}`;
}

async function send(path: string, body: string, headers: Record<string, string> = {}, key = keys.old) {
  const response = await post({ edgeUrl: stack.edgeUrl, publishKey: key }, path, body, headers);
  return { status: response.status, headers: response.headers, answer: await response.json() };
}

async function historyOf(channel: string): Promise<{ id: string; data: unknown }[]> {
  return (await (await fetch(`${stack.edgeUrl}/v1/channels/${channel}/messages?order=asc`)).json()).items;
}

describe('a publish', () => {
  test('costs one REST request, and one more only where Redis does not know the script', async () => {
    await send('/v1/channels/cost/messages', '0');
    door.taken();
    for (let i = 0; i < 3; i++) expect((await send('/v1/channels/cost/messages', '1')).status).toBe(201);
    expect(door.taken()).toEqual(['evalsha', 'evalsha', 'evalsha']);
    await redis.call('SCRIPT', ['FLUSH']);
    expect((await send('/v1/channels/cost/messages', '2')).status).toBe(201);
    expect(door.taken()).toEqual(['evalsha', 'eval']);
    expect((await send('/v1/channels/cost/messages', '3')).status).toBe(201);
    expect(door.taken()).toEqual(['evalsha']);
  });

  test('that is refused costs none', async () => {
    expect((await send('/v1/channels/cost/messages', '{')).status).toBe(400);
    expect((await send('/v1/channels/c%20t/messages', '1')).status).toBe(400);
    expect((await send('/v1/channels/cost/messages', '1', {}, 'ew_dev_old_wrong')).status).toBe(401);
    expect((await send('/v1/messages', '[{"channel":"?","data":1}]')).status).toBe(200);
    expect(door.taken()).toEqual([]);
  });

  test.each(['/v1/channels/retried/messages', '/v1/messages'])(
    'whose answer is lost is tried again by the edge and is one message: %s',
    async (path) => {
      const channel = path === '/v1/messages' ? 'retried-batch' : 'retried';
      const body = path === '/v1/messages' ? '[{"channel":"retried-batch","data":1}]' : '1';
      await send(path, body.replace('retried', 'warm').replace(/^1$/, '0')); // so that no NOSCRIPT comes
      const before = (await historyOf(channel)).length;
      door.taken();
      door.loseAnswers(2);
      const { status, headers, answer } = await send(path, body);
      expect([status, headers.get('Idempotent-Replayed')]).toEqual([path === '/v1/messages' ? 200 : 201, null]);
      expect(door.taken()).toEqual(['evalsha', 'evalsha', 'evalsha']);
      const kept = (await historyOf(channel)).slice(before);
      expect(kept).toMatchObject([{ id: answer.id ?? answer.results[0].id, data: 1 }]);

      const other = await send(path, body); // the same bytes, another request: another message
      expect(other.answer.id ?? other.answer.results[0].id).not.toBe(kept[0]!.id);
      expect(await historyOf(channel)).toHaveLength(before + 2);
    },
  );

  test('of which the edge answers 503 when its tries are out, all of the same one message', async () => {
    door.loseAnswers(3);
    const { status, headers, answer } = await send('/v1/channels/out/messages', '1');
    expect([status, answer.code, headers.get('Retry-After')]).toEqual([503, 'redis_unavailable', '1']);
    expect(door.taken()).toHaveLength(3);
    expect(await historyOf('out')).toHaveLength(1);
  });

  test('that Redis answers with an error is not tried again', async () => {
    await redis.call('SET', [redis.keys.stream(parseChannel('damaged')!), 'no stream']);
    expect((await send('/v1/channels/damaged/messages', '1')).answer.code).toBe('channel_damaged');
    expect(door.taken()).toHaveLength(1);
  });

  test("leaves a short-lived record of the edge's own, and a day's with a key", async () => {
    const before = new Set((await redis.call('KEYS', [redis.keys.idempotency('*')])) as string[]);
    await send('/v1/channels/record/messages', '1');
    await send('/v1/channels/record/messages', '1', { 'Idempotency-Key': 'record-1' });
    const names = (await redis.call('KEYS', [redis.keys.idempotency('*')])) as string[];
    const added = names.filter((name) => !before.has(name));
    const lives = await Promise.all(added.map(async (name) => Number(await redis.call('PTTL', [name]))));
    const [short, long] = lives.sort((a, b) => a - b);
    expect(lives).toHaveLength(2);
    expect(short).toSatisfy((ms: number) => ms > 30_000 && ms <= 60_000);
    expect(long).toSatisfy((ms: number) => ms > 86_300_000 && ms <= 86_400_000);
  });

  test('whose answers were lost is one message with one id when it is repeated with its key', async () => {
    const again = (body: string, key = keys.old) =>
      send('/v1/channels/orders/messages', body, { 'Idempotency-Key': 'order-7' }, key);
    door.loseAnswers(3);
    const lost = await again('{"order":7}');
    expect([lost.status, lost.answer.code, lost.headers.get('Retry-After')]).toEqual([503, 'redis_unavailable', '1']);
    expect(door.taken()).toHaveLength(3);
    const [kept] = await historyOf('orders');

    const repeated = await again('{"order":7}');
    expect(repeated.status).toBe(200);
    expect(repeated.headers.get('Idempotent-Replayed')).toBe('true');
    expect(repeated.answer.id).toBe(kept!.id);
    const changed = await again('{"order":8}');
    expect([changed.status, changed.answer.code]).toEqual([409, 'idempotency_conflict']);

    const rotated = await again('{"order":7}', keys.renewed);
    expect([rotated.status, rotated.answer.id]).toEqual([200, kept!.id]);
    expect((await again('{"order":8}', keys.renewed)).status).toBe(409);
    expect(await historyOf('orders')).toEqual([kept]);

    const somebodyElse = await again('{"order":8}', keys.other);
    expect(somebodyElse.status).toBe(201); // a key is its principal's alone
    expect(await historyOf('orders')).toHaveLength(2);
  });
});

describe('a batch', () => {
  const nameOf = (i: number) => `batch:${i % 10}`;

  test('of 1,000 over 10 channels, bad items and a damaged channel among them, is one REST request', async () => {
    await redis.call('SET', [redis.keys.stream(parseChannel('batch:3')!), 'no stream']);
    const items = Array.from({ length: 1_000 }, (_, i) => {
      if (i % 100 === 50) return { channel: 'no channel', data: i };
      if (i % 100 === 51) return { channel: nameOf(i), data: i, priority: 'urgent' };
      if (i % 100 === 52) return i;
      return { channel: nameOf(i), data: i };
    });
    const known = await send('/v1/messages', JSON.stringify([{ channel: 'warm', data: 1 }])); // so that no NOSCRIPT comes
    expect(known.status).toBe(200);
    door.taken();
    const { status, answer } = await send('/v1/messages', JSON.stringify(items));
    expect(status).toBe(200);
    expect(door.taken()).toEqual(['evalsha']);

    expect(answer.results).toHaveLength(1_000);
    const codes = answer.results.map((result: { problem?: { code: string } }) => result.problem?.code ?? 'published');
    expect(codes).toEqual(
      items.map((_, i) => {
        if ([50, 51, 52].includes(i % 100)) return 'envelope_invalid';
        return i % 10 === 3 ? 'channel_damaged' : 'published';
      }),
    );
    const published: { id: string; channel: string; at: number }[] = answer.results.flatMap(
      (result: { id?: string; channel?: string }, at: number) => (result.id ? [{ ...result, at }] : []),
    );
    expect(published).toHaveLength(1_000 - 30 - 100);
    const places = published.map(({ id }) => id.split('-').slice(1).map(Number) as [number, number]);
    for (const [i, [ms, seq]] of places.entries()) {
      const [previousMs, previousSeq] = places[i - 1] ?? [0, 0];
      expect(ms > previousMs || (ms === previousMs && seq > previousSeq), published[i]!.id).toBe(true);
    }
    for (let c = 0; c < 10; c++) {
      if (c === 3) continue;
      const ours = published.filter(({ channel }) => channel === `batch:${c}`);
      expect((await historyOf(`batch:${c}`)).map(({ id, data }) => ({ id, data }))).toEqual(
        ours.map(({ id, at }) => ({ id, data: at })),
      );
    }
    expect(await redis.call('GET', [redis.keys.stream(parseChannel('batch:3')!)])).toBe('no stream');
  });

  test('whose answers were lost is published once when it is repeated with its key', async () => {
    const body = JSON.stringify([
      { channel: 'bulk', data: 1 },
      { channel: '?', data: 2 },
      { channel: 'bulk', data: 3 },
    ]);
    const again = (text = body, key = keys.old) => send('/v1/messages', text, { 'Idempotency-Key': 'bulk-1' }, key);
    door.loseAnswers(3);
    expect((await again()).answer.code).toBe('redis_unavailable');
    const kept = await historyOf('bulk');
    expect(kept.map(({ data }) => data)).toEqual([1, 3]);
    const repeated = await again(body, keys.renewed);
    expect(repeated.headers.get('Idempotent-Replayed')).toBe('true');
    expect(repeated.answer.results).toMatchObject([{ id: kept[0]!.id }, { problem: {} }, { id: kept[1]!.id }]);
    expect((await again('[{"channel":"bulk","data":9}]')).status).toBe(409);
    expect(await historyOf('bulk')).toEqual(kept);
  });
});
