import { createHash } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Channel } from '../../shared/channel.ts';
import { limits } from '../../shared/limits.ts';
import { send as ask } from '../abuse/http.ts';
import { expectProblem } from '../abuse/oracle.ts';
import { startWorld, type World } from '../abuse/world.ts';
import { type Door, openDoor } from './door.ts';

/** Each has its own allowance; `hourly` and `renewed` are two keys of one principal. */
const rates = {
  hourly: '3/h',
  renewed: '3/h',
  batches: '5/h',
  fast: '10/s',
  once: '1/h',
  tried: '4/h',
  leaked: undefined,
  admin: undefined,
};
const keys = Object.fromEntries(Object.keys(rates).map((id) => [id, `ew_prod_${id}_${id.padEnd(43, 'A')}`])) as Record<
  keyof typeof rates,
  string
>;
const API_KEYS = JSON.stringify(
  Object.entries(rates).map(([id, rate]) => ({
    id,
    principal: id === 'renewed' ? 'hourly' : id,
    sha256: createHash('sha256')
      .update(keys[id as keyof typeof rates])
      .digest('hex'),
    scopes: [{ actions: id === 'admin' ? ['admin', 'publish', 'mint', 'read'] : ['publish', 'read'], patterns: ['*'] }],
    ...(rate && { rate }),
  })),
);

let door: Door;
let world: World;

beforeAll(async () => {
  door = await openDoor();
  world = await startWorld({
    edge: true,
    edgeVars: { API_KEYS, TOKEN_RATE: '2/h', UPSTASH_REDIS_REST_URL: door.url },
    relayEnv: { API_KEYS },
  });
  door.target = world.relay;
});
afterAll(async () => {
  await world.stop();
  await door.close();
});
beforeEach(() => void door.taken());

const bearer = (credential: string) => ({ Authorization: `Bearer ${credential}`, 'Content-Type': 'application/json' });
const publish = (credential: string, headers: Record<string, string> = {}, channel = 'a') =>
  ask(world.edge, {
    method: 'POST',
    path: `/v1/channels/${channel}/messages`,
    headers: { ...bearer(credential), ...headers },
    body: '1',
  });
const batch = (credential: string, count: number, headers: Record<string, string> = {}) =>
  ask(world.edge, {
    method: 'POST',
    path: '/v1/messages',
    headers: { ...bearer(credential), ...headers },
    body: JSON.stringify(Array.from({ length: count }, () => ({ channel: 'a', data: 1 }))),
  });
const revoke = (body: unknown, credential = keys.admin) =>
  ask(world.edge, { method: 'POST', path: '/v1/revocations', headers: bearer(credential), body: JSON.stringify(body) });
const token = (claims: object = {}) => world.token({ publish: ['a', 'b'], channels: ['a'], ...claims });
const told = ({ headers }: { headers: Record<string, string> }) => [
  headers['ratelimit-policy'],
  headers.ratelimit,
  headers['retry-after'],
];

describe('a rate', () => {
  test('is told with every publish it counts, and with the refusal, after which Redis is as it was', async () => {
    for (const remaining of [2, 1, 0]) {
      const answer = await publish(keys.hourly);
      expect(answer.status).toBe(201);
      expect(told(answer)).toEqual([
        '"default";q=3;w=3600',
        `"default";r=${remaining};t=${(3 - remaining) * 1200}`,
        undefined,
      ]);
    }
    const before = await world.state();
    door.taken();
    const refused = await publish(keys.hourly);
    expectProblem(refused, 'rate_limited');
    expect(refused.status).toBe(429);
    expect(refused.headers['ratelimit-policy']).toBe('"default";q=3;w=3600');
    expect(refused.headers.ratelimit).toMatch(/^"default";r=0;t=(3600|359\d)$/);
    expect(refused.headers['retry-after']).toMatch(/^(1200|119\d)$/);
    expect(door.taken()).toEqual(['evalsha']); // asked and answered in the same request
    expect(await world.state()).toEqual(before);
  });

  test('belongs to the principal, so that a rotation doubles nothing; another key is not concerned', async () => {
    expectProblem(await publish(keys.renewed), 'rate_limited');
    const other = await publish(keys.admin);
    expect([other.status, ...told(other)]).toEqual([201, undefined, undefined, undefined]);
  });

  test('counts once what the edge had to try again, under an identity of its own', async () => {
    await publish(keys.admin); // so that no NOSCRIPT comes
    await batch(keys.admin, 1);
    door.taken();
    door.loseAnswers(2);
    const first = await publish(keys.tried);
    expect([first.status, first.headers.ratelimit, door.taken().length]).toEqual([201, undefined, 3]);
    door.loseAnswers(1);
    expect([(await batch(keys.tried, 2)).status, door.taken().length]).toEqual([200, 2]);
    expect((await publish(keys.tried)).headers.ratelimit).toMatch(/^"default";r=0;/);
    door.taken();
    expectProblem(await publish(keys.tried), 'rate_limited');
    expect(door.taken()).toHaveLength(1); // an answer ends the tries
  });

  test('lets a repeated publish pass, uncounted', async () => {
    const key = { 'Idempotency-Key': 'once' };
    const first = await publish(keys.once, key);
    expect([first.status, first.headers.ratelimit]).toEqual([201, '"default";r=0;t=3600']);
    for (let i = 0; i < 3; i++) {
      const again = await publish(keys.once, key);
      expect([again.status, again.body, again.headers.ratelimit]).toEqual([200, first.body, undefined]);
    }
    expectProblem(await publish(keys.once), 'rate_limited');
  });

  test('takes a batch whole or not at all, and says when the same one can be sent again, or that it never can', async () => {
    const first = await batch(keys.batches, 3, { 'Idempotency-Key': 'b1' });
    expect([first.status, first.headers.ratelimit]).toEqual([200, '"default";r=2;t=2160']);
    const before = await world.state();
    const refused = await batch(keys.batches, 3, { 'Idempotency-Key': 'b2' });
    expectProblem(refused, 'rate_limited');
    expect(refused.headers['retry-after']).toMatch(/^(720|719)$/);
    expect(refused.headers.ratelimit).toMatch(/^"default";r=2;t=21[56]\d$/);
    const never = await batch(keys.batches, 6);
    expect(expectProblem(never, 'rate_limited').detail).toBe('Send at most 5 in one batch.');
    expect(never.headers['retry-after']).toBeUndefined();
    expect(await world.state()).toEqual(before);
    expect((await batch(keys.batches, 2, { 'Idempotency-Key': 'b2' })).status).toBe(200); // nothing was recorded for the refused
  });

  test('of tokens belongs to the subject, whatever the token', async () => {
    for (const jti of ['1', '2']) expect((await publish(token({ sub: 'bob', jti }))).status).toBe(201);
    expectProblem(await publish(token({ sub: 'bob', jti: '3' })), 'rate_limited');
    expect((await publish(token({ sub: 'eve' }))).status).toBe(201);
  });

  test('is kept within 5 % when 20 publishers ask for twice as much', async () => {
    const [rate, publishers, everyMs, rounds] = [10, 20, 1_000, 5]; // 20 a second asked for, over four seconds
    await publish(keys.admin, {}, 'warm');
    const start = performance.now();
    let [accepted, sentMs, answeredMs] = [0, 0, 0];
    const publisher = async (_: unknown, p: number) => {
      for (let i = 0; i < rounds; i++) {
        const due = start + i * everyMs + (p * everyMs) / publishers - performance.now();
        if (due > 0) await new Promise((resolve) => setTimeout(resolve, due));
        sentMs = performance.now() - start;
        const { status } = await publish(keys.fast, {}, 'fast');
        answeredMs = performance.now() - start;
        expect([201, 429]).toContain(status);
        if (status === 201) accepted++;
      }
    };
    await Promise.all(Array.from({ length: publishers }, publisher));
    // Its limiter would expire by itself, in the middle of a test that compares all of Redis.
    const digest = createHash('sha256').update('key:fast\n10/1000').digest('hex');
    expect(await world.redis.call('DEL', [world.redis.keys.limiter(digest)])).toBe(1);
    expect(accepted).toBe(await world.redis.call('XLEN', [world.redis.keys.stream('fast' as Channel)]));
    // All at once, and then as it refills: by when the last was asked, and by when it was answered.
    expect(accepted).toBeGreaterThan((rate + (rate * sentMs) / 1000) * 0.95);
    expect(accepted).toBeLessThanOrEqual(rate + (rate * answeredMs) / 1000);
  });
});

describe('a revocation', () => {
  const wrong: [what: string, body: unknown, status: number, code: string, pointer?: string][] = [
    ['nothing', {}, 422, 'envelope_invalid', ''],
    ['two things', { jti: 'a', key: 'b' }, 422, 'envelope_invalid', ''],
    ['no text', { jti: 1 }, 422, 'envelope_invalid', '/jti'],
    ['an empty name', { sub: '' }, 422, 'envelope_invalid', '/sub'],
    ['a name too long', { sub: 'x'.repeat(257) }, 422, 'envelope_invalid', '/sub'],
    ['an unknown field', { sub: 'a', until: 1 }, 422, 'envelope_invalid', '/until'],
    ['a time that is text', { sub: 'a', before: '1' }, 422, 'envelope_invalid', '/before'],
    ['a time in seconds', { sub: 'a', before: Math.floor(Date.now() / 1000) }, 422, 'envelope_invalid', '/before'],
    ['a time to come', { sub: 'a', before: Date.now() + 3_600_000 }, 422, 'envelope_invalid', '/before'],
    ['a time without a subject', { jti: 'a', before: Date.now() }, 422, 'envelope_invalid', '/before'],
    ['a list', [], 422, 'envelope_invalid', ''],
  ];
  test.each(wrong)('of %s is refused and revokes nothing', async (_, body, status, code, pointer) => {
    const before = await world.state();
    const answer = await revoke(body);
    const { errors } = expectProblem(answer, code as never);
    expect([answer.status, errors?.[0]?.pointer]).toEqual([status, pointer]);
    expect(await world.state()).toEqual(before);
  });

  test('needs admin on everything', async () => {
    const before = await world.state();
    for (const credential of [keys.fast, token()]) expectProblem(await revoke({ jti: 'x' }, credential), 'not_granted');
    const open = await ask(world.edge, { method: 'POST', path: '/v1/revocations', body: '{}' });
    expectProblem(open, 'credential_missing');
    expect(await world.state()).toEqual(before);
    expect(door.taken()).toEqual([]);
  });

  const reads = (credential: string) =>
    ask(world.edge, { path: '/v1/channels/a/messages', headers: bearer(credential) });
  const refusesAll = async (credential: string) => {
    const before = await world.state();
    const answers = [await publish(credential), await batch(credential, 1), await reads(credential)];
    for (const answer of answers) {
      expectProblem(answer, 'credential_invalid');
      expect(answer.headers['www-authenticate']).toBe('Bearer realm="edgewire", error="invalid_token"');
    }
    expect(await world.state()).toEqual(before);
  };

  test('of a token ends that one at once, in the same Redis request, and no other', async () => {
    const [one, other] = [token({ sub: 'kim', jti: 'one' }), token({ sub: 'kim', jti: 'other' })];
    expect((await publish(one)).status).toBe(201);
    expect((await revoke({ jti: 'one' })).status).toBe(204);
    await refusesAll(one);
    door.taken();
    expectProblem(await publish(one), 'credential_invalid');
    expect(door.taken()).toEqual(['evalsha']);
    expect((await publish(other)).status).toBe(201);
  });

  test('of a subject ends the tokens issued before, not the ones after', async () => {
    const now = Math.floor(Date.now() / 1000);
    const at = (iat: number | undefined) => token({ sub: 'lou', jti: String(iat), iat, exp: now + 600 });
    expect((await revoke({ sub: 'lou', before: (now - 10) * 1000 })).status).toBe(204);
    await refusesAll(at(now - 11));
    await refusesAll(at(undefined)); // as early as its exp allows
    expect((await publish(at(now - 10))).status).toBe(201);
    expect((await revoke({ sub: 'lou' })).status).toBe(204);
    await refusesAll(at(now - 10));
  });

  test('beyond the bound is refused, and what is in force stays', async () => {
    const many = Array.from({ length: limits.revocationsMax }, (_, i) => [`j:full${i}`, '1 9007199254740991']).flat();
    await world.redis.call('HSET', [world.redis.keys.revoked, ...many]);
    const before = await world.state();
    const refused = await revoke({ jti: 'one more' });
    expectProblem(refused, 'rate_limited');
    expect([refused.status, refused.headers['retry-after']]).toEqual([429, '600']);
    expect(await world.state()).toEqual(before);
    await world.redis.call('DEL', [world.redis.keys.revoked]);
  });

  test('of a key ends it, also for minting and revoking; its principal goes on with the next', async () => {
    expect((await publish(keys.leaked)).status).toBe(201);
    expect((await revoke({ key: 'leaked' })).status).toBe(204);
    await refusesAll(keys.leaked);
    expect((await revoke({ key: 'admin' })).status).toBe(204);
    await refusesAll(keys.admin);
    expectProblem(await revoke({ jti: 'x' }), 'credential_invalid');
    const mint = { sub: 'a', channels: ['a'] };
    const headers = bearer(keys.admin);
    const minted = await ask(world.edge, { method: 'POST', path: '/v1/tokens', headers, body: JSON.stringify(mint) });
    expectProblem(minted, 'credential_invalid');
    const purged = await ask(world.edge, { method: 'DELETE', path: '/v1/channels/a/messages', headers });
    expectProblem(purged, 'credential_invalid');
    await world.redis.call('HDEL', [world.redis.keys.revoked, 'k:admin']); // the way back
    expect((await publish(keys.admin)).status).toBe(201);
  });
});
