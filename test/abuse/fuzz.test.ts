import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseRedisUrl } from '../../relay/address.ts';
import { connectSubscription, type Subscription } from '../../relay/redis.ts';
import { parseEnvelope } from '../../shared/envelope.ts';
import { formatId } from '../../shared/id.ts';
import { generated } from './generate.ts';
import { type Answered, type Asked, keptAlive, send } from './http.ts';
import { expectProblem } from './oracle.ts';
import { enveloped, json } from './tables/row.ts';
import { anonymous } from './tables/streams.ts';
import { furnish, newKey, startWorld, type World } from './world.ts';

/** Change it to look elsewhere; a failure names the request, which can then be sent by itself. */
const seed = 20_261_120;
const toEdge = 7_000;
const toRelay = 3_000;
const atOnce = 16;
/** 20 s on two cores that have little else to do; other test files run beside it. */
const minutes = 240_000;
const patience = { timeout: 10_000 };

let world: World;
let subscription: Subscription;
/** Ids in the order in which Redis gave them to whoever listens to everything. */
const heard: string[] = [];

beforeAll(async () => {
  world = await startWorld({ edge: true, retention: 'shop:never=none, *=100000/1h' });
  await furnish(world);
  const ready = Promise.withResolvers<void>();
  const onMessage = (bytes: Uint8Array) => {
    const { epoch, position } = parseEnvelope(bytes)!;
    heard.push(formatId(epoch, position));
  };
  const events = { onMessage, onReady: ready.resolve, onLost: () => undefined, onError: () => undefined };
  subscription = connectSubscription(parseRedisUrl(world.stack.redis.url)!, world.redis.keys, events);
  await ready.promise;
  await subscription.subscribe([world.redis.keys.allName]);
});
afterAll(async () => {
  keptAlive.destroy();
  subscription.close();
  await world.stop();
});

interface Shot {
  asked: Asked;
  answer: Answered;
}

/** Sends all, `atOnce` at a time; answers in the order of the requests. */
async function shoot(base: string, requests: readonly Asked[]): Promise<Shot[]> {
  const shots: Shot[] = [];
  let next = 0;
  const gun = async () => {
    for (let i = next++; i < requests.length; i = next++) {
      const asked = requests[i]!;
      shots[i] = { asked, answer: await send(base, asked) };
    }
  };
  await Promise.all(Array.from({ length: atOnce }, gun));
  return shots;
}

/** A refusal is a whole problem. Below the programs, a parser may say 400, 417 or 431 in its own way. */
function judge({ asked, answer }: Shot): void {
  if (answer.status < 400) return;
  const isParser = [400, 417, 431].includes(answer.status) && answer.headers['edgewire-request-id'] === undefined;
  const isDoor = asked.path.startsWith('/redis') && answer.headers['content-type'] === 'application/json';
  if (isParser) return;
  const isSilent = asked.method === 'HEAD';
  if (isDoor || isSilent) {
    expect(answer.status, shown(asked)).toBeLessThan(500);
    if (isSilent) expect(answer.body).toBe('');
    return;
  }
  try {
    expectProblem(answer);
  } catch (error) {
    throw new Error(`${shown(asked)} was answered ${answer.status} ${answer.body.slice(0, 300)}`, { cause: error });
  }
}

/** The request without its credential. */
function shown({ headers = {}, body, ...asked }: Asked): string {
  const text = body === undefined ? undefined : Buffer.from(body).toString('latin1').slice(0, 300);
  return JSON.stringify({
    ...asked,
    headers: { ...headers, Authorization: 'Authorization' in headers ? '...' : undefined },
    body: text,
  });
}

/** The ids that an answer says are new: a message was published, now, by this request. */
function newIds({ asked, answer }: Shot): string[] {
  if (asked.method !== 'POST' || answer.status > 202 || answer.headers['idempotent-replayed']) return [];
  const body = JSON.parse(answer.body || '{}');
  if (typeof body.id === 'string') return [body.id];
  return (body.results ?? []).flatMap((result: { id?: string }) => result.id ?? []);
}

function authorizations(): string[] {
  const { root, publisher, reader, minter, dev } = world.keys;
  const good = [
    root,
    root,
    publisher,
    reader,
    minter,
    dev,
    world.token(),
    world.pairToken(),
    world.token({ publish: ['shop:*'] }),
  ];
  const bad = [newKey('prod', 'root'), world.token({ exp: 1 }), 'garbage', ''];
  return [...good, ...bad].map((one) => `Bearer ${one}`).concat('Basic x', 'Bearer');
}

async function runAll(base: string, right: Asked[], count: number) {
  const target = {
    right,
    authorizations: authorizations(),
    words: ['shop:1', 'shop:2', 'shop:never', 'open:1', 'other', 'shop:*', ...world.ids],
  };
  const requests = fc.sample(generated(target), { numRuns: count, seed });
  const heardBefore = heard.length;
  const shots = await shoot(base, requests);
  for (const shot of shots) judge(shot);

  const published = shots.flatMap(newIds);
  await expect.poll(() => heard.length - heardBefore, patience).toBe(published.length);
  expect(new Set(heard.slice(heardBefore))).toEqual(new Set(published));
  expect(new Set(published).size).toBe(published.length);

  // What was refused once is refused again, and all of it together leaves Redis as it is, byte for byte.
  const refused = shots.filter(({ answer }) => answer.status >= 400);
  const before = await world.state();
  const again = await shoot(
    base,
    refused.map(({ asked }) => asked),
  );
  expect(await world.state()).toEqual(before);
  expect(
    again.filter(({ answer }, i) => answer.status !== refused[i]!.answer.status).map(({ asked }) => shown(asked)),
  ).toEqual([]);
  return { shots, refused: refused.length, published: published.length };
}

describe(`generated requests, seed ${seed}`, () => {
  test(
    `${toEdge} to the edge: none meets a fault, none that is refused leaves a trace, each message is answered for`,
    async () => {
      const headers = { Authorization: `Bearer ${world.keys.root}` };
      const channel = '/v1/channels/shop:1/messages';
      const post = (path: string, body: string, more: object = json): Asked => ({
        method: 'POST',
        path,
        headers: { ...headers, ...more },
        body,
      });
      const right = [
        post(channel, '{"n":1}'),
        post('/v1/channels/shop:never/messages?type=a&ttl=1h', '"x"', { ...json, 'Edgewire-Meta-a': 'b' }),
        post(channel, 'text', { 'Content-Type': 'text/plain', 'Idempotency-Key': 'same' }),
        post(channel, 'a=1&b=2', { 'Content-Type': 'application/x-www-form-urlencoded' }),
        post(channel, '\u0000\u0001', { 'Content-Type': 'image/png' }),
        post(channel, '{"data":{"a":[1]},"type":"t","meta":{"a":"b"},"ttl":60}', enveloped),
        post(
          '/v1/messages',
          '[{"channel":"shop:1","data":1},{"channel":"shop:2","data":[2],"store":"no"},{"channel":"a b","data":3}]',
        ),
        post('/v1/tokens', '{"sub":"ada","channels":["shop:1"],"ttl":"10m"}'),
        { path: `${channel}?limit=2&order=asc`, headers },
        { path: `${channel}?after=${world.ids[0]}&limit=2`, headers },
        { path: `${channel}?since=1h&before=${world.ids[3]}&limit=3`, headers },
        { path: `${channel}/${world.ids[1]}`, headers },
        { path: '/v1/channels/open:1/messages?limit=1' },
        { method: 'DELETE', path: '/v1/channels/doomed/messages', headers },
        { path: '/openapi.json' },
        { path: '/healthz' },
      ];
      const { shots, refused, published } = await runAll(world.edge, right, toEdge);
      // That it is a mixture, or the oracle has nothing to see.
      expect(shots).toHaveLength(toEdge);
      expect(refused).toBeGreaterThan(toEdge / 3);
      expect(published).toBeGreaterThan(toEdge / 20);
    },
    minutes,
  );

  test(
    `${toRelay} to the relay: the same`,
    async () => {
      const headers = { Authorization: `Bearer ${world.keys.root}` };
      const rest = { Authorization: `Bearer ${world.stack.restToken}`, ...json };
      const right: Asked[] = [
        { path: '/v1/stream?channel=shop:1&channel=shop:2&pattern=open:*', headers },
        { path: `/v1/stream?channel=shop:1&cursor=${world.ids[2]}`, headers },
        { path: '/v1/stream?channel=shop:1&since=10m', headers: { ...headers, 'Last-Event-ID': world.ids[1]! } },
        { path: '/v1/stream?pattern=*&rewind=3', headers },
        anonymously('?channel=open:1'),
        anonymously(`?channel=shop:1&token=${world.token()}`),
        anonymously('?channel=shop:1', { Cookie: `__Host-edgewire=${world.token()}`, 'Sec-Fetch-Site': 'same-origin' }),
        { method: 'POST', path: '/v1/session', headers: { Authorization: `Bearer ${world.token()}` } },
        { method: 'DELETE', path: '/v1/session' },
        { path: '/healthz' },
        { path: '/readyz' },
        { path: '/metrics' },
        { path: '/console' },
        { method: 'POST', path: '/redis', headers: rest, body: '["PING"]' },
        { method: 'POST', path: '/redis/pipeline', headers: rest, body: '[["PING"],["EVALSHA","x","0"]]' },
      ];
      const { shots, refused, published } = await runAll(world.relay, right, toRelay);
      expect(shots).toHaveLength(toRelay);
      expect(refused).toBeGreaterThan(toRelay / 3);
      expect(published).toBe(0);
    },
    minutes,
  );

  test('afterwards both live, no reader is left, and neither has logged a fault', async () => {
    for (const url of [`${world.edge}/healthz`, `${world.relay}/readyz`]) expect((await fetch(url)).status).toBe(200);
    await expect
      .poll(async () => /^edgewire_readers (\d+)/m.exec(await (await fetch(`${world.relay}/metrics`)).text())?.[1])
      .toBe('0');
    expect(world.stack.relay.output()).not.toMatch(/"level":50/);
    expect(world.stack.edge!.output()).not.toMatch(/"code":"internal"/);
  });
});

function anonymously(query: string, headers: Record<string, string> = {}): Asked {
  const { Authorization: _, ...rest } = anonymous(query, headers).headers as Record<string, string>;
  return { path: `/v1/stream${query}`, headers: rest };
}
