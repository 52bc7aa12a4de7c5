import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sha1 } from '../../relay/redis.ts';
import { publish as publishScript } from '../../shared/scripts/publish.ts';
import { controlsOf, openStream } from '../helpers/sse.ts';
import { type Asked, keptAlive, send, sendBytes, wire } from './http.ts';
import { expectProblem } from './oracle.ts';
import type { Row } from './tables/row.ts';
import { anonymous, relayTables, stream } from './tables/streams.ts';
import { furnish, newKey, origin, startWorld, type World } from './world.ts';

let world: World;

beforeAll(async () => {
  world = await startWorld();
  await furnish(world);
});
afterAll(async () => {
  keptAlive.destroy();
  await world.stop();
});

/** With the key that may do everything, unless the request names an Authorization; an empty one is left out. */
function authorised({ headers = {}, ...asked }: Asked): Asked {
  const { Authorization = `Bearer ${world.keys.root}`, ...rest } = headers;
  return { ...asked, headers: Authorization === '' ? rest : { ...rest, Authorization } };
}

const ask = (asked: Asked) => send(world.relay, authorised(asked));

describe.each(Object.entries(relayTables))('%s', (_, table) => {
  test.each(table.map((row) => [row.what, row] as const))('%s', async (_, row: Row) => {
    const before = await world.state();
    const answer = await ask(typeof row.ask === 'function' ? row.ask(world) : row.ask);
    const { detail } = expectProblem(answer, row.code);
    expect(answer.status).toBe(row.status);
    expect(detail).toMatch(row.told);
    for (const [name, value] of Object.entries(row.headers ?? {}))
      expect(String(answer.headers[name]), name).toBe(String(value));
    if (!row.headers || !('access-control-allow-origin' in row.headers)) {
      expect(answer.headers['access-control-allow-origin']).toBeUndefined();
    }
    expect(await world.state()).toEqual(before);
  });
});

test('the names of no two rows are the same, so that a red one can be found', () => {
  for (const table of Object.values(relayTables)) {
    const whats = table.map((row) => row.what);
    expect(whats.filter((what, i) => whats.indexOf(what) !== i)).toEqual([]);
  }
});

describe('what is unusual and right is taken', () => {
  const opened = async (asked: Asked) => {
    const answer = await ask(asked);
    expect(answer.status).toBe(200);
    expect(answer.headers['content-type']).toBe('text/event-stream; charset=utf-8');
    return answer;
  };
  const cookie = () => `__Host-edgewire=${world.token()}`;

  test.each<[string, () => Asked]>([
    [
      '100 channels and 10 patterns',
      () =>
        stream(
          `?${Array.from({ length: 100 }, (_, i) => `channel=c${i}`).join('&')}&${Array.from({ length: 10 }, (_, i) => `pattern=p${i}:*`).join('&')}`,
        ),
    ],
    ['101 times the same channel', () => stream(`?${Array(101).fill('channel=a').join('&')}`)],
    ['an encoded parameter', () => stream('?%63hannel=shop%3A1')],
    ['a channel named __proto__', () => stream('?channel=__proto__&channel=constructor')],
    ['nobody, for what is open', () => anonymous('?channel=open:1&pattern=open:a*')],
    ['a token in the query', () => anonymous(`?channel=shop:1&token=${world.token()}`)],
    ['a token of a pair', () => stream('?channel=shop:1', { Authorization: `Bearer ${world.pairToken()}` })],
    ['a development key in the query', () => anonymous(`?channel=shop:1&token=${world.keys.dev}`)],
    ['the cursor of a polyfill', () => stream('?channel=shop:1&lastEventId=x')],
    [
      'a cookie, by Sec-Fetch-Site: same-origin',
      () => anonymous('?channel=shop:1', { Cookie: `a=b; ${cookie()}; c`, 'Sec-Fetch-Site': 'same-origin' }),
    ],
    ['a cookie, by an allowed origin', () => anonymous('?channel=shop:1', { Cookie: cookie(), Origin: origin })],
    ['a cookie, by its own origin', () => anonymous('?channel=shop:1', { Cookie: cookie(), Origin: world.relay })],
    [
      'a development key, as the relay listens on loopback only',
      () => stream('?channel=shop:1', { Authorization: `Bearer ${world.keys.dev}` }),
    ],
    ['an empty Last-Event-ID', () => stream('?channel=shop:1', { 'Last-Event-ID': '' })],
  ])('%s', async (_, asked) => {
    await opened(asked());
  });

  test('a stream of an allowed origin has exactly the headers that lets it be read', async () => {
    const { headers } = await opened(anonymous('?channel=open:1', { Origin: origin }));
    const cors = Object.entries(headers).filter(([name]) => /^(access-control-|vary)/.test(name));
    expect(Object.fromEntries(cors)).toEqual({
      'access-control-allow-origin': origin,
      'access-control-allow-credentials': 'true',
      'access-control-expose-headers': 'Edgewire-Request-Id, Retry-After',
      vary: 'Origin',
    });
    const own = await opened(anonymous('?channel=open:1', { Origin: world.relay }));
    expect(Object.keys(own.headers).filter((name) => name.startsWith('access-control-'))).toEqual([]);
  });

  test('a preflight of an allowed origin', async () => {
    const { status, headers } = await ask({
      ...anonymous('', {
        Origin: origin,
        'Access-Control-Request-Method': 'GET',
        'Access-Control-Request-Headers': 'x-evil',
      }),
      method: 'OPTIONS',
    });
    expect(status).toBe(204);
    const cors = Object.entries(headers).filter(([name]) => /^(access-control-|vary)/.test(name));
    expect(Object.fromEntries(cors)).toEqual({
      'access-control-allow-origin': origin,
      'access-control-allow-credentials': 'true',
      'access-control-expose-headers': 'Edgewire-Request-Id, Retry-After',
      'access-control-allow-methods': 'GET, POST, DELETE',
      'access-control-allow-headers': 'Authorization, Last-Event-ID, Content-Type',
      'access-control-max-age': '600',
      vary: 'Origin',
    });
  });

  test('a session keeps the token as long as it lives, where scripts cannot read it', async () => {
    const token = world.token();
    const made = await ask({
      method: 'POST',
      path: '/v1/session',
      headers: { Authorization: `Bearer ${token}`, Origin: origin },
    });
    expect(made.status).toBe(204);
    expect(String(made.headers['set-cookie'])).toMatch(
      /; Path=\/; Secure; HttpOnly; SameSite=None; Max-Age=(599|60[0-5])$/,
    );
    expect(String(made.headers['set-cookie']).startsWith(`__Host-edgewire=${token};`)).toBe(true);
    const ended = await ask({ method: 'DELETE', path: '/v1/session', headers: { Authorization: '', Origin: origin } });
    expect(ended.status).toBe(204);
    expect(String(ended.headers['set-cookie'])).toBe(
      '__Host-edgewire=; Path=/; Secure; HttpOnly; SameSite=None; Max-Age=0',
    );
  });

  test('health routes, to whoever asks', async () => {
    for (const path of ['/healthz', '/readyz', '/metrics', '/openapi.json', '/console']) {
      expect(
        (
          await ask({
            path,
            headers: { Authorization: 'Basic x', Origin: 'https://evil.example', Cookie: '__Host-edgewire=x' },
          })
        ).status,
      ).toBe(200);
    }
  });
});

test('the console gives its key to a browser of this machine, and not to a page whose own name was led here', async () => {
  const holds = async (Host: string) =>
    (await ask({ path: '/console', headers: { Host } })).body.includes(world.stack.publishKey);
  for (const host of ['localhost', '127.0.0.1:8788', '[::1]:80', 'LOCALHOST:1'])
    expect(await holds(host), host).toBe(true);
  for (const host of ['evil.example', 'localhost.evil.example', '127.0.0.1.evil.example:8788', '10.0.0.1', '[::2]']) {
    expect(await holds(host), host).toBe(false);
  }
});

describe('a relay that others can reach', () => {
  // An address that is loopback and not written as such stands for any other, so that the test opens no port to the world.
  test('takes no development key, by header, query or cookie', async () => {
    const relay = await world.stack.addRelay({ HOST: '::ffff:127.0.0.1', CONSOLE: '', CONSOLE_KEY: '' });
    const key = world.keys.dev;
    const ways: Asked[] = [
      { path: '/v1/stream?channel=shop:1', headers: { Authorization: `Bearer ${key}` } },
      { path: `/v1/stream?channel=open:1&token=${key}` },
      {
        path: '/v1/stream?channel=open:1',
        headers: { Cookie: `__Host-edgewire=${key}`, 'Sec-Fetch-Site': 'same-origin' },
      },
      { path: '/v1/stream?channel=shop:1', headers: { Authorization: `Bearer ${key}`, Host: 'localhost' } },
      { method: 'POST', path: '/v1/session', headers: { Authorization: `Bearer ${key}` } },
    ];
    for (const asked of ways) expectProblem(await send(relay.url, asked), 'credential_invalid');
    expectProblem(await send(relay.url, { path: '/console' }), 'route_unknown');
    const good = { Authorization: `Bearer ${world.keys.root}` };
    expect((await send(relay.url, { path: '/v1/stream?channel=shop:1', headers: good })).status).toBe(200);
    await relay.stop();
  });
});

describe('the REST door to Redis', () => {
  const { lua } = publishScript;
  const key = (name: string) => `{ew:default}:${name}`;
  const door = (body: unknown, path = '/redis', headers: Record<string, string> = {}) =>
    send(world.relay, {
      method: 'POST',
      path,
      headers: { Authorization: `Bearer ${world.stack.restToken}`, 'Content-Type': 'application/json', ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
  const keys = () => [key('clock'), key('last'), key('index'), key('s:shop:1')];
  const published = (names = keys(), digest = sha1(lua)) => [
    'EVALSHA',
    digest,
    names.length,
    ...names,
    key(''),
    'seedseed00',
    '',
    '0',
    'shop:1',
    '"channel":"shop:1","type":"x",',
    '"data":1}',
    '10',
    '60000',
    '0',
  ];

  async function expectRefused(
    answer: { status: number; headers: Record<string, string>; body: string },
    status: number,
    error: RegExp,
  ) {
    expect(answer.headers['content-type']).toBe('application/json');
    expect({ status: answer.status, ...JSON.parse(answer.body) }).toEqual({
      status,
      error: expect.stringMatching(error),
    });
  }

  test.each<[string, (w: World) => Record<string, string>]>([
    ['no token', () => ({ Authorization: '' })],
    ['another token', () => ({ Authorization: `Bearer ${'0'.repeat(64)}` })],
    ['the token and a character', (w) => ({ Authorization: `Bearer ${w.stack.restToken}0` })],
    ['the token without its last character', (w) => ({ Authorization: `Bearer ${w.stack.restToken.slice(0, -1)}` })],
    ['the token in capitals', (w) => ({ Authorization: `Bearer ${w.stack.restToken.toUpperCase()}` })],
    ['an empty token', () => ({ Authorization: 'Bearer ' })],
    [
      'the token by Basic',
      (w) => ({ Authorization: `Basic ${Buffer.from(`default:${w.stack.restToken}`).toString('base64')}` }),
    ],
    ['an API key that may do everything', (w) => ({ Authorization: `Bearer ${w.keys.root}` })],
    ['a key that nobody has', () => ({ Authorization: `Bearer ${newKey('prod', 'x')}` })],
  ])('is shut for %s', async (_, headers) => {
    const before = await world.state();
    for (const path of ['/redis', '/redis/', '/redis/pipeline', '/redis/multi-exec', '/redis/get/x']) {
      await expectRefused(await door(published(), path, headers(world)), 401, /^Unauthorized$/);
    }
    expect(await world.state()).toEqual(before);
  });

  test('takes no token from the query, as Upstash does (_token)', async () => {
    await expectRefused(
      await door(['PING'], `/redis?_token=${world.stack.restToken}`, { Authorization: '' }),
      401,
      /^Unauthorized$/,
    );
  });

  const noperm =
    /^NOPERM Only the scripts of this version pass, on keys of this namespace\. Deploy relays before edges/;
  const commands: [string, unknown][] = [
    ...[
      ['FLUSHALL'],
      ['flushdb'],
      ['GET', key('clock')],
      ['SET', key('clock'), '1'],
      ['DEL', key('clock')],
      ['KEYS', '*'],
      ['CONFIG', 'GET', '*'],
      ['SCRIPT', 'LOAD', 'return 1'],
      ['SCRIPT', 'FLUSH'],
      ['FCALL', 'x', '0'],
      ['EVAL_RO', lua, '0'],
      ['EVALSHA_RO', sha1(lua), '0'],
      ['PUBLISH', key('all'), 'x'],
      ['SUBSCRIBE', key('all')],
      ['MONITOR'],
      ['AUTH', 'x'],
      ['HELLO', '3'],
      ['SHUTDOWN'],
      ['CLIENT', 'KILL', 'TYPE', 'pubsub'],
      ['MULTI'],
      ['XADD', key('s:a'), '*', 'a', 'b'],
      ['PING\r\nFLUSHALL'],
      ['__proto__'],
    ].map((command): [string, unknown] => [JSON.stringify(command[0]), command]),
    ['a foreign script', ['EVAL', 'return redis.call("FLUSHALL")', '0']],
    ['our script and a line more', ['EVAL', `${lua}\nredis.call("FLUSHALL")`, '4', ...keys()]],
    ['an unknown digest', ['EVALSHA', '0'.repeat(40), '0']],
    ['our digest in capitals', ['EVALSHA', sha1(lua).toUpperCase(), '4', ...keys()]],
    ['a digest and spaces', ['EVALSHA', ` ${sha1(lua)}`, '4', ...keys()]],
    ['a key of another namespace', published(['{ew:other}:clock', ...keys().slice(1)])],
    ['a key of no namespace', published([...keys().slice(0, 3), 'important'])],
    ['a key with our tag in the middle', published([...keys().slice(0, 3), `x${key('s:a')}`])],
    ['a key in a wider hash tag', published([...keys().slice(0, 3), '{ew:default2}:s:a'])],
    ['a key that is a number', published([...keys().slice(0, 3), 1 as never])],
    ['a negative number of keys', ['EVALSHA', sha1(lua), '-1', ...keys()]],
    ['a number of keys that is text', ['EVALSHA', sha1(lua), 'x', ...keys()]],
    ['no number of keys', ['EVALSHA', sha1(lua)]],
    ['10,000 keys', ['EVALSHA', sha1(lua), '10000', ...keys()]],
    ['an object', {}],
    ['an object that looks like an array', { length: 1, 0: 'FLUSHALL' }],
    ['null', null],
    ['a number', 1],
    ['an empty array', []],
    ['an array of arrays', [['PING']]],
    ['an array of objects', [{ toString: 'PING' }]],
    ['an object for a digest', ['EVALSHA', { toString: 1 }, '0']],
    ['an array for a digest', ['EVALSHA', [sha1(lua)], '4', ...keys()]],
    ['an object among the arguments', [...published(), { a: 1 }]],
    ['true for a name', [true]],
    ['null for a name', [null]],
  ];

  test.each(commands)('lets %s not pass, alone or in a pipeline behind one that may', async (_, command) => {
    const before = await world.state();
    await expectRefused(await door(command), 403, noperm);
    await expectRefused(await door([published(), command], '/redis/pipeline'), 403, noperm);
    expect(await world.state()).toEqual(before);
  });

  test.each<[string, unknown, number, RegExp]>([
    ['half an array', '[', 400, /^ERR not JSON$/],
    ['nothing', '', 400, /^ERR not JSON$/],
    ['NaN', '[NaN]', 400, /^ERR not JSON$/],
    ['100,000 brackets', '['.repeat(100_000), 400, /^ERR not JSON$/],
    ['5 MiB', `["${'x'.repeat(5 << 20)}"]`, 413, /^ERR request too large$/],
  ])('refuses %s', async (_, body, status, error) => {
    const before = await world.state();
    const headers = { Authorization: `Bearer ${world.stack.restToken}` };
    await expectRefused(
      await send(world.relay, { method: 'POST', path: '/redis', headers, body: String(body), chunked: true }),
      status,
      error,
    );
    await expectRefused(await door(body), status, error);
    await expectRefused(await door(body, '/redis/pipeline'), status, error);
    expect(await world.state()).toEqual(before);
  });

  test.each<[string, unknown]>([
    ['an object', {}],
    ['text', '"PING"'],
    ['101 commands', Array(101).fill(['PING'])],
  ])('refuses %s as a pipeline', async (_, body) => {
    await expectRefused(await door(body, '/redis/pipeline'), 400, /^ERR not a pipeline$/);
  });

  test('answers what Redis refuses as Upstash does, and Redis is unchanged', async () => {
    const before = await world.state();
    const wrong = published([key('index'), ...keys().slice(1)]); // a ZSET where a HASH belongs
    await expectRefused(await door(wrong), 400, /WRONGTYPE/);
    const [again] = JSON.parse((await door([wrong], '/redis/pipeline')).body);
    expect(again.error).toMatch(/WRONGTYPE/);
    await expectRefused(await door(['EVALSHA', sha1(lua), '9', ...keys()]), 400, /^ERR /);
    expect(await world.state()).toEqual(before);
  });

  test('serves nothing else: no GET, no commands in paths, no transactions', async () => {
    const headers = { Authorization: `Bearer ${world.stack.restToken}` };
    for (const path of [
      '/redis',
      '/redis/ping',
      '/redis/get/x',
      '/redis/flushall',
      '/redis/subscribe/x',
      '/redis/monitor',
    ]) {
      expectProblem(await ask({ path, headers }), 'route_unknown');
    }
    expectProblem(await door([['PING']], '/redis/multi-exec'), 'route_unknown');
    expect(JSON.parse((await door(['PING'])).body)).toEqual({ result: 'PONG' });
  });
});

describe('what no HTTP client sends', () => {
  const raw = (asked: Asked, more?: object) =>
    sendBytes(world.relay, wire(authorised(asked)), { quietMs: 1_000, ...more });
  const one = async (asked: Asked) => (await raw(asked))[0];
  const keepOpen = (asked: Asked) =>
    wire(authorised(asked)).toString().replace('Connection: close', 'Connection: keep-alive');

  test.each<[string, Asked, number]>([
    ['a head of 17 KiB', stream('?channel=shop:1', { X: 'x'.repeat(17 << 10) }), 431],
    ['a query of 17 KiB', stream(`?channel=${'x'.repeat(17 << 10)}`), 431],
    ['a cookie of 17 KiB', stream('?channel=shop:1', { Cookie: `a=${'x'.repeat(17 << 10)}` }), 431],
    ['a NUL in a header', stream('?channel=shop:1', { 'Last-Event-ID': 'a\0b' }), 400],
    ['a CR in a header', stream('?channel=shop:1', { 'Last-Event-ID': 'a\rb' }), 400],
    ['a NUL in the path', stream('?channel=a\0b'), 400],
    ['a space in the path', stream('?channel=a b'), 400],
    ['two lengths', { method: 'POST', path: '/v1/session', headers: { 'Content-Length': ['0', '1'] } }, 400],
    [
      'a length and chunks',
      {
        method: 'POST',
        path: '/v1/session',
        headers: { 'Content-Length': '5', 'Transfer-Encoding': 'chunked' },
        body: '0\r\n\r\n',
      },
      400,
    ],
    ['a method that is none', { method: 'FOO', path: '/v1/stream' }, 400],
    ['another expectation', stream('?channel=shop:1', { Expect: 'x' }), 417],
    ['a Host that is none', { path: '/healthz', headers: { Host: 'a b' } }, 400],
  ])('%s is refused by the parser below us', async (_, asked, status) => {
    const before = await world.state();
    const answer = await one(asked);
    expect(answer?.status).toBe(status);
    expect(answer?.body).toBe('');
    expect(await world.state()).toEqual(before);
  });

  test('bytes that are not HTTP, or not HTTP/1', async () => {
    for (const bytes of [
      Buffer.from([0x16, 3, 1, 0, 5, 1]),
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
      '\r\n\r\n\r\n{}\r\n\r\n',
      'GET /healthz HTTP/3.0\r\n\r\n',
    ]) {
      const [answer] = await sendBytes(world.relay, bytes, { quietMs: 300 });
      expect([undefined, 400]).toContain(answer?.status);
    }
    expect((await ask({ path: '/healthz' })).status).toBe(200);
  });

  test('Last-Event-ID with whatever bytes a header can hold is a reset, and reaches no frame', async () => {
    const evil = ['x\tdata: forged', '\u2028data: forged', 'a-1-0, a-1-1', '%0Adata: forged', `${'9'.repeat(4000)}`];
    for (const id of evil) {
      const answer = await one(stream('?channel=shop:1', { 'Last-Event-ID': id }));
      expect(answer?.status).toBe(200);
      expect(answer?.body).not.toMatch(/forged/);
    }
    const seen = await openStream(`${world.relay}/v1/stream?channel=open:1`, { 'Last-Event-ID': 'x\tdata: forged' });
    await seen.until((blocks) => controlsOf(blocks, 'reset').length > 0);
    expect(JSON.stringify(seen.blocks)).not.toMatch(/forged/);
    seen.cut();
  });

  test('a stream by HTTP/1.0, Expect: 100-continue, Upgrade, or with a body is a stream', async () => {
    const head = `Host: x\r\nAuthorization: Bearer ${world.keys.root}\r\n`;
    for (const bytes of [
      `GET /v1/stream?channel=shop:1 HTTP/1.0\r\n${head}\r\n`,
      `GET /v1/stream?channel=shop:1 HTTP/1.1\r\n${head}Expect: 100-continue\r\n\r\n`,
      `GET /v1/stream?channel=shop:1 HTTP/1.1\r\n${head}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n`,
      `GET /v1/stream?channel=shop:1 HTTP/1.1\r\n${head}Content-Length: 5\r\n\r\nhello`,
      `GET /v1/stream?channel=shop:1 HTTP/1.1\r\n${head.replaceAll('\r\n', '  \r\n')}\r\n`,
    ]) {
      const [answer] = await sendBytes(world.relay, bytes);
      expect(answer?.status).toBe(200);
      expect(answer?.headers['transfer-encoding']).toBeUndefined();
      expect(answer?.body).toMatch(/^retry: \d+\nid: /);
    }
  });

  test('a health check by HTTP/1.0 without a Host, as load balancers ask', async () => {
    const [answer] = await sendBytes(world.relay, 'GET /healthz HTTP/1.0\r\n\r\n');
    expect(answer).toMatchObject({ status: 200, body: '{"status":"ok"}' });
  });

  test('pipelined requests are each answered by themselves', async () => {
    const wrong = keepOpen(stream('?channel=a%20b'));
    const answers = await sendBytes(world.relay, wrong + wrong + keepOpen({ path: '/healthz' }), { count: 3 });
    expect(answers.map((answer) => answer.status)).toEqual([400, 400, 200]);
  });

  test('nothing that is pipelined behind a stream is answered into it', async () => {
    const bytes =
      keepOpen(stream('?channel=shop:1')) + keepOpen({ path: '/healthz' }) + keepOpen(stream('?channel=open:1'));
    const answers = await sendBytes(world.relay, bytes, { count: 3, quietMs: 500 });
    expect(answers).toHaveLength(1);
    expect(answers[0]?.body).not.toMatch(/HTTP\/1\.1|status/);
  });

  test('a request in absolute form, to a host that is not ours, opens no stream', async () => {
    const answer = await one({ ...stream('?channel=shop:1'), path: 'http://evil.example/v1/stream?channel=shop:1' });
    expectProblem(answer!, 'route_unknown');
  });
});

test('readers that come and go leave nothing behind', async () => {
  const readersLeft = async () => Number(/^edgewire_readers (\d+)/m.exec((await ask({ path: '/metrics' })).body)?.[1]);
  for (let tries = 0; tries < 100 && (await readersLeft()) > 0; tries++)
    await new Promise((resolve) => setTimeout(resolve, 20));
  expect(await readersLeft()).toBe(0);
  const names = (await world.redis.call('PUBSUB', ['CHANNELS', '{ew:default}:*'])) as string[];
  expect(names.filter((name) => !name.startsWith('{ew:default}:x:'))).toEqual([world.redis.keys.controlName]);
});

test('none of it was a fault of ours', () => {
  expect(world.stack.relay.output()).not.toMatch(/"level":50/);
});
