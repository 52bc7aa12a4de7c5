import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { addressOf, Seats, seatOf } from '../../relay/seats.ts';
import { always } from '../../shared/revocation.ts';
import { revoke } from '../../shared/scripts/revocation.ts';
import { send } from '../abuse/http.ts';
import { expectProblem } from '../abuse/oracle.ts';
import { startWorld, type World } from '../abuse/world.ts';
import { controlsOf, openStream, type TestStream } from '../helpers/sse.ts';
import type { Relay } from '../helpers/stack.ts';

const MAX = 5;
let world: World;
let other: Relay;
const open: TestStream[] = [];

beforeAll(async () => {
  const relayEnv = { STREAMS_PER_SUBJECT_MAX: String(MAX), STREAMS_PER_ADDRESS_MAX: '2', TRUST_PROXY: '1' };
  world = await startWorld({ relayEnv });
  other = await world.stack.addRelay();
});
afterAll(() => world.stop());
afterEach(() => {
  for (const stream of open.splice(0)) stream.cut();
});

async function read(credential: string, url = world.relay): Promise<TestStream> {
  const stream = await openStream(`${url}/v1/stream?channel=shop:1`, { Authorization: `Bearer ${credential}` });
  open.push(stream);
  if (stream.status === 200) await stream.until((blocks) => controlsOf(blocks, 'open').length > 0);
  return stream;
}
const ban = (name: string, beforeMs = always) =>
  world.redis.run(revoke, { name, beforeMs, untilMs: Date.now() + 60_000, revocationsMax: 100 });
const attempt = (credential: string, url = world.relay) =>
  send(url, { path: '/v1/stream?channel=shop:1', headers: { Authorization: `Bearer ${credential}` } });
const anonymous = (forwarded: string) =>
  openStream(`${world.relay}/v1/stream?channel=open:1`, { 'X-Forwarded-For': forwarded }).then((stream) => {
    open.push(stream);
    return stream;
  });
async function metric(name: string, url = world.relay): Promise<number> {
  const line = (await (await fetch(`${url}/metrics`)).text()).split('\n').find((text) => text.startsWith(`${name} `));
  return Number(line?.split(' ').at(-1) ?? 0);
}

describe('a revocation', () => {
  test.each([
    ['of a token', (w: World) => [w.token({ sub: 'kim', jti: 'one' }), 'j:one', w.token({ sub: 'kim', jti: 'two' })]],
    ['of a subject', (w: World) => [w.token({ sub: 'lou' }), 's:lou', w.token({ sub: 'loulou', jti: 's:lou' })]],
    ['of a key', (w: World) => [w.keys.reader, 'k:reader', w.keys.root]],
  ] as const)('%s ends its streams on both relays within a second, and no other', async (_, about) => {
    const [credential, name, bystander] = about(world) as [string, string, string];
    const urls = [world.relay, other.url];
    const streams = await Promise.all(urls.map((url) => read(credential, url)));
    const spared = await Promise.all(urls.map((url) => read(bystander, url)));
    const start = performance.now();
    await ban(name);
    await Promise.all(streams.map((stream) => stream.ended));
    expect(performance.now() - start).toBeLessThan(1_000);
    for (const stream of streams) {
      const [last] = controlsOf(stream.blocks, 'expired');
      expect(last).toEqual({ reason: 'revoked' });
    }
    for (const url of urls) {
      expectProblem(await attempt(credential, url), 'credential_invalid');
      expect(await metric('edgewire_streams_closed_total{reason="revoked"}', url)).toBeGreaterThan(0);
    }
    const id = await world.redis.publish('shop:1', 'still here');
    for (const stream of spared) await stream.until((blocks) => blocks.some((block) => block.id === id));
  });

  test('is known to a relay that started after it, and to one that heard nothing of it, within its next reading', async () => {
    const late = await world.stack.addRelay();
    expectProblem(await attempt(world.token({ sub: 'kim', jti: 'one' }), late.url), 'credential_invalid');

    const credential = world.token({ sub: 'mia', jti: 'unheard' });
    const stream = await read(credential);
    await world.redis.call('HSET', [world.redis.keys.revoked, 'j:unheard', `${always} ${always}`]); // as if pub/sub had lost it
    const clients = String(await world.redis.call('CLIENT', ['LIST', 'TYPE', 'pubsub']))
      .trim()
      .split('\n');
    for (const client of clients) await world.redis.call('CLIENT', ['KILL', 'ID', /id=(\d+)/.exec(client)![1]!]);
    await stream.ended; // read again with the new subscription
    expect(controlsOf(stream.blocks, 'expired')).toEqual([{ reason: 'revoked' }]);
  });

  test('that is not ours is dropped and counted, and ends nothing', async () => {
    const stream = await read(world.token({ sub: 'ada', jti: 'ada' }));
    const before = await metric('edgewire_malformed_total');
    const forged = ['3', '3 x s:ada', '3 -1 s:ada', '3 1e9 s:ada', '4 9007199254740991 s:ada', '3 9007199254740991 '];
    for (const text of forged) await world.redis.call('PUBLISH', [world.redis.keys.controlName, text]);
    const id = await world.redis.publish('shop:1', 'after');
    await stream.until((blocks) => blocks.some((block) => block.id === id));
    expect((await metric('edgewire_malformed_total')) - before).toBe(forged.length);
  });
});

describe('too many streams', () => {
  test('of one subject are refused, by whatever token, and may be opened again when others have ended', async () => {
    const tokens = Array.from({ length: MAX + 1 }, (_, i) => world.token({ sub: 'many', jti: `m${i}` }));
    const streams = await Promise.all(tokens.slice(0, MAX).map((token) => read(token)));
    const before = await world.state();
    const refused = await attempt(tokens[MAX]!);
    expect(expectProblem(refused, 'too_many_streams').detail).toMatch(/^At most 5 streams at once\. Close some/);
    expect([refused.status, refused.headers['retry-after']]).toEqual([429, '30']);
    expect(await world.state()).toEqual(before);
    expect((await read(world.token({ sub: 'few', jti: 'f' }))).status).toBe(200);
    expect((await read(tokens[MAX]!, other.url)).status).toBe(200); // each relay counts its own
    for (let round = 0; round < 20; round++) {
      streams.shift()!.cut();
      let next = await read(tokens[round % MAX]!);
      for (; next.status === 429; next = await read(tokens[round % MAX]!)); // until the relay has noticed
      streams.push(next);
    }
    expect((await attempt(tokens[0]!)).status).toBe(429);
  });

  test('without a credential are counted by address, which the last proxy tells', async () => {
    const [a, b] = [await anonymous('6.6.6.6, 10.0.0.1'), await anonymous('10.0.0.1')];
    const c = await anonymous('7.7.7.7,10.0.0.1');
    const d = await anonymous('10.0.0.2');
    expect([a, b, c, d].map(({ status }) => status)).toEqual([200, 200, 429, 200]);
  });

  test('of a key are bounded by its entry alone', async () => {
    const streams = await Promise.all(Array.from({ length: MAX + 3 }, () => read(world.keys.root)));
    expect(streams.map(({ status }) => status)).toEqual(Array(MAX + 3).fill(200));
    const grant = { kind: 'key', principal: 'p', scopes: [], streamsMax: 2 } as const;
    expect(seatOf(grant, '', { subjectStreamsMax: 9, addressStreamsMax: 9 })).toEqual({ who: 'key:p', max: 2 });
  });

  test('leave no count behind', () => {
    const seats = new Seats();
    const taken = Array.from({ length: 1_000 }, (_, i) => ({ who: `token:${i % 70}`, max: 20 }));
    for (const seat of taken) {
      seats.demand(seat);
      seats.take(seat);
    }
    expect(seats.size).toBe(70);
    for (const seat of taken) seats.leave(seat);
    expect(seats.size).toBe(0);
  });
});

test.each([
  ['1.2.3.4', undefined, 0, '1.2.3.4'],
  ['::ffff:1.2.3.4', undefined, 0, '1.2.3.4'],
  ['::ffff:1.2.3.4', '9.9.9.9', 0, '1.2.3.4'],
  ['10.0.0.1', '9.9.9.9, 8.8.8.8', 1, '8.8.8.8'],
  ['10.0.0.1', '9.9.9.9, 8.8.8.8', 2, '9.9.9.9'],
  ['10.0.0.1', '9.9.9.9', 2, '10.0.0.1'],
  ['10.0.0.1', '', 1, '10.0.0.1'],
  ['2001:DB8:0:7::1', undefined, 0, '2001:db8:0:7::'],
  ['2001:db8:0:7:ffff::2', undefined, 0, '2001:db8:0:7::'],
  ['2001:db8::1', undefined, 0, '2001:db8:0:0::'],
  ['fe80::1%eth0', undefined, 0, 'fe80:0:0:0::'],
  ['::1', undefined, 0, '0:0:0:0::'],
  ['10.0.0.1', 'x'.repeat(5_000), 1, 'x'.repeat(64)],
  [undefined, undefined, 0, ''],
])('the address of %s, forwarded for %s, behind %i proxies', (remoteAddress, forwarded, proxies, address) => {
  const headers = forwarded === undefined ? {} : { 'x-forwarded-for': forwarded };
  expect(addressOf({ socket: { remoteAddress }, headers } as never, proxies)).toBe(address);
});
