import { randomBytes, randomUUID } from 'node:crypto';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { controlsOf, messagesOf } from '../helpers/sse.ts';
import { openStream, type ProtocolStream } from './stream.ts';

export interface Deployment {
  edgeUrl: string;
  relayUrl: string;
  /** A key that may publish, read, mint and purge. */
  publishKey: string;
  /** An origin that edge and relay let in; without it nothing is asked about pages that are let in. */
  origin?: string | undefined;
}

const envelopeType = 'application/vnd.edgewire+json';

/**
 * The protocol, asked of two URLs and nothing else: registers tests that hold for every deployment whose history keeps what
 * it is given for some minutes. Names are drawn anew for each run, and what was kept under them is purged at the end.
 */
export function protocol({ edgeUrl, relayUrl, publishKey, origin }: Deployment): void {
  const run = `conformance:${randomBytes(6).toString('hex')}`;
  const used = new Set<string>();
  const open: ProtocolStream[] = [];
  const key = { Authorization: `Bearer ${publishKey}` };
  const json = { ...key, 'Content-Type': 'application/json' };

  afterEach(() => {
    for (const stream of open.splice(0)) stream.cut();
  });
  afterAll(async () => {
    for (const channel of used) await call('DELETE', messages(channel), undefined, key);
  });

  /** A channel of this run. */
  function named(name: string): string {
    const channel = `${run}:${name}`;
    used.add(channel);
    return channel;
  }
  function messages(channel: string): string {
    return `/v1/channels/${channel}/messages`;
  }
  async function call(method: string, path: string, body?: BodyInit, headers: Record<string, string> = json) {
    const response = await fetch(`${edgeUrl}${path}`, { method, headers, ...(body !== undefined && { body }) });
    const text = await response.text();
    return { response, status: response.status, text, answer: text === '' ? undefined : JSON.parse(text) };
  }
  async function publish(channel: string, data: unknown): Promise<string> {
    const { status, answer } = await call('POST', messages(channel), JSON.stringify(data));
    expect(status, JSON.stringify(answer)).toBe(201);
    return answer.id;
  }
  async function read(query: string, headers: Record<string, string> = {}): Promise<ProtocolStream> {
    const stream = await openStream(`${relayUrl}/v1/stream?${query}`, { ...key, ...headers });
    open.push(stream);
    return stream;
  }
  /** A stream whose replay has ended, which an id-only block says. */
  async function live(query: string, headers: Record<string, string> = {}): Promise<ProtocolStream> {
    const stream = await read(query, headers);
    expect(stream.problem).toBeUndefined();
    await stream.until((blocks) => blocks.some((block) => block.id && !block.data && !block.retry));
    return stream;
  }
  /** The text of `data:` of one message, when it has come. */
  async function line(stream: ProtocolStream, id: string): Promise<string> {
    const blocks = await stream.until((all) => all.some((block) => block.id === id && block.data !== undefined));
    return blocks.find((block) => block.id === id && block.data !== undefined)!.data!;
  }
  async function idsUpTo(stream: ProtocolStream, last: string): Promise<string[]> {
    await line(stream, last);
    return messagesOf(stream.blocks).map((message) => message.id);
  }
  async function mint(request: object): Promise<string> {
    const { status, answer } = await call('POST', '/v1/tokens', JSON.stringify(request));
    expect(status, JSON.stringify(answer)).toBe(201);
    return answer.token;
  }

  describe('a publish', () => {
    test.each([
      [
        'JSON, to the letter',
        'application/json',
        '{"big":9223372036854775807,"one":1.0,"twice":1,"twice":2,"u":"\\u00fc\\/"}',
        '"data":{"big":9223372036854775807,"one":1.0,"twice":1,"twice":2,"u":"\\u00fc\\/"}',
      ],
      ['JSON over several lines', 'application/json', '{\r\n  "a": [1,\n2]\n}', '"data":{  "a": [1,2]}'],
      ['JSON of another name', 'application/ld+json', '"x"', '"data":"x"'],
      ['text, line breaks and all', 'text/plain; charset=utf-8', 'ü "1"\n2\u2028', '"data":"ü \\"1\\"\\n2\u2028"'],
      ['a form', 'application/x-www-form-urlencoded', 'a=1+2&b=%C3%BC&a=3', '"data":{"a":["1 2","3"],"b":"ü"}'],
      [
        'bytes',
        'image/png',
        new Uint8Array([0, 1, 254, 255]),
        '"contentType":"image/png","data":{"$base64":"AAH+/w=="}',
      ],
      ['an envelope', envelopeType, '{"data":{"n":1.0},"type":"t/1"}', '"data":{"n":1.0}'],
    ])('of %s reaches the reader and the history', async (_, contentType, body, expected) => {
      const channel = named(`kind-${randomUUID()}`);
      const stream = await live(`channel=${channel}`);
      const { response, status, answer } = await call('POST', messages(channel), body as BodyInit, {
        ...key,
        'Content-Type': contentType,
      });
      expect([status, answer]).toEqual([201, { id: answer.id, channel, timestamp: expect.any(Number) }]);
      expect(response.headers.get('Edgewire-Request-Id')).toBeTruthy();
      const came = await line(stream, answer.id);
      expect(came).toContain(expected);
      expect(JSON.parse(came)).toMatchObject({ id: answer.id, channel, timestamp: answer.timestamp });
      const kept = await call('GET', response.headers.get('Location')!);
      expect([kept.status, kept.text]).toEqual([200, came]);
    });

    const everything = {
      type: 'task/reviewed',
      priority: 'high',
      key: 'user 42',
      source: 'crm',
      meta: { tenant: 'ü', trace: '7' },
      data: 1,
    };
    test.each([
      [
        'headers',
        '',
        {
          'Edgewire-Type': 'task/reviewed',
          'Edgewire-Priority': 'high',
          'Edgewire-Key': 'user%2042',
          'Edgewire-Source': 'crm',
          'Edgewire-Ttl': '10m',
          'Edgewire-Meta-Tenant': '%C3%BC',
          'Edgewire-Meta-Trace': '7',
        },
        '1',
        'application/json',
      ],
      [
        'query parameters',
        '?type=task/reviewed&priority=high&key=user+42&source=crm&ttl=600&meta-tenant=%C3%BC&meta-trace=7',
        {},
        '1',
        'application/json',
      ],
      ['envelope fields', '', {}, JSON.stringify({ ...everything, ttl: '10m' }), envelopeType],
    ])('takes its options as %s', async (_, query, headers, body, contentType) => {
      const channel = named('options');
      const { status, answer } = await call('POST', messages(channel) + query, body, {
        ...key,
        ...(headers as Record<string, string>),
        'Content-Type': contentType,
      });
      expect(status, JSON.stringify(answer)).toBe(201);
      const kept = await call('GET', `${messages(channel)}/${answer.id}`);
      expect(kept.answer).toEqual({
        ...everything,
        id: answer.id,
        channel,
        timestamp: answer.timestamp,
        expires: answer.timestamp + 600_000,
      });
    });

    test('carries replyTo and traceparent', async () => {
      const channel = named('traced');
      const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
      const body = JSON.stringify({ data: 1, replyTo: named('answers') });
      const headers = { ...key, 'Content-Type': envelopeType, traceparent };
      const { answer } = await call('POST', messages(channel), body, headers);
      const kept = await call('GET', `${messages(channel)}/${answer.id}`);
      expect(kept.answer).toMatchObject({ traceparent, replyTo: named('answers') });
    });

    test('that is not to be kept answers 202 and is heard, not kept', async () => {
      const channel = named('not-kept');
      const stream = await live(`channel=${channel}`);
      const { response, status, answer } = await call('POST', `${messages(channel)}?store=no`, '1');
      expect([status, answer.stored, response.headers.get('Location')]).toEqual([202, false, null]);
      await line(stream, answer.id);
      expect((await call('GET', `${messages(channel)}/${answer.id}`)).answer.code).toBe('message_unknown');
    });

    test('repeated with its Idempotency-Key answers 200 with the first answer; another body is a conflict', async () => {
      const channel = named('again');
      const headers = { ...json, 'Idempotency-Key': randomUUID() };
      const stream = await live(`channel=${channel}`);
      const first = await call('POST', messages(channel), '{"a":1}', headers);
      const again = await call('POST', messages(channel), '{"a":1}', headers);
      const other = await call('POST', messages(channel), '{"a":2}', headers);
      expect([first.status, again.status, other.status]).toEqual([201, 200, 409]);
      expect([first.response, again.response].map((r) => r.headers.get('Idempotent-Replayed'))).toEqual([null, 'true']);
      expect(again.answer).toEqual(first.answer);
      expect(other.answer.code).toBe('idempotency_conflict');
      const end = await publish(channel, 'end');
      expect(await idsUpTo(stream, end)).toEqual([first.answer.id, end]);
    });

    test.each([
      ['no channel name', 'POST', messages('a%20b'), '1', {}, 400, 'channel_invalid'],
      ['no JSON', 'POST', messages(`${run}:x`), '{', {}, 400, 'body_invalid'],
      ['an unknown option', 'POST', `${messages(`${run}:x`)}?typ=a`, '1', {}, 400, 'query_invalid'],
      [
        'a multipart body',
        'POST',
        messages(`${run}:x`),
        '1',
        { 'Content-Type': 'multipart/form-data' },
        415,
        'content_type_unsupported',
      ],
      ['a body of 300 KiB', 'POST', messages(`${run}:x`), `"${'x'.repeat(300 << 10)}"`, {}, 413, 'body_too_large'],
      ['no credential', 'POST', messages(`${run}:x`), '1', { Authorization: '' }, 401, undefined],
      [
        'a wrong key',
        'POST',
        messages(`${run}:x`),
        '1',
        { Authorization: `Bearer ${`ew_live_x_${'A'.repeat(43)}`}` },
        401,
        'credential_invalid',
      ],
      ['a method not served', 'PUT', messages(`${run}:x`), '1', {}, 405, 'method_not_allowed'],
      ['a path not served', 'POST', '/v1/nothing', '1', {}, 404, 'route_unknown'],
    ])('with %s is refused by a problem document', async (_, method, path, body, headers, status, code) => {
      const refused = await call(method, path, body, { ...json, ...(headers as Record<string, string>) });
      expect(refused.status, refused.text).toBe(status);
      expect(refused.response.headers.get('Content-Type')).toBe('application/problem+json');
      expect(refused.answer).toMatchObject({ status, title: expect.any(String), detail: expect.any(String) });
      expect(refused.answer.requestId).toBe(refused.response.headers.get('Edgewire-Request-Id'));
      if (code) expect(refused.answer).toMatchObject({ code, type: `urn:edgewire:problem:${code}` });
    });
  });

  describe('a batch', () => {
    test('is one order over its channels, and each item is answered at its own place', async () => {
      const [a, b] = [named('batch-a'), named('batch-b')];
      const stream = await live(`channel=${a}&channel=${b}`);
      const items = [
        `{"channel":"${a}","data":18446744073709551615,"type":"t"}`,
        `{"channel":"${b}","data":[1.0]}`,
        `{"channel":"${a}","priority":"urgent","data":1}`,
        `{"channel":"${b}","data":"x","store":false}`,
        `{"channel":"${a}","data":null}`,
      ];
      const { status, answer } = await call('POST', '/v1/messages', `[${items.join(',')}]`);
      expect(status).toBe(200);
      expect(answer.results).toMatchObject([
        { id: expect.any(String), channel: a, timestamp: expect.any(Number) },
        { id: expect.any(String), channel: b },
        { problem: { code: 'envelope_invalid', status: 422, errors: [{ pointer: '/2/priority' }] } },
        { id: expect.any(String), channel: b, stored: false },
        { id: expect.any(String), channel: a },
      ]);
      const ids = answer.results.flatMap(({ id }: { id?: string }) => id ?? []);
      expect(await idsUpTo(stream, ids.at(-1))).toEqual(ids);
      expect(await line(stream, ids[0])).toContain('"data":18446744073709551615');
      expect(await line(stream, ids[1])).toContain('"data":[1.0]');
    });

    test('repeated with its Idempotency-Key answers the same for every item', async () => {
      const headers = { ...json, 'Idempotency-Key': randomUUID() };
      const body = JSON.stringify([
        { channel: named('batch-a'), data: 1 },
        { channel: '?', data: 1 },
      ]);
      const first = await call('POST', '/v1/messages', body, headers);
      const again = await call('POST', '/v1/messages', body, headers);
      expect(first.answer.results[0].id).toBeTruthy();
      expect(again.answer).toEqual(first.answer);
      expect(again.response.headers.get('Idempotent-Replayed')).toBe('true');
      expect((await call('POST', '/v1/messages', '[]', headers)).status).toBe(422);
      const other = JSON.stringify([{ channel: named('batch-a'), data: 2 }]);
      expect((await call('POST', '/v1/messages', other, headers)).status).toBe(409);
    });
  });

  describe('history', () => {
    test('is paged from the newest back, and onwards from an id', async () => {
      const channel = named('paged');
      const ids: string[] = [];
      for (let i = 0; i < 5; i++) ids.push(await publish(channel, i));
      const page = async (query: string) => (await call('GET', `${messages(channel)}?${query}`)).answer;
      const walk = async (first: string, on: 'before' | 'after') => {
        const seen: string[] = [];
        let query = first;
        for (let pages = 0; pages < 10; pages++) {
          const { items, next, oldest, gap } = await page(query);
          expect([oldest, gap]).toEqual([ids[0], null]);
          seen.push(...items.map(({ id }: { id: string }) => id));
          if (next === null) break;
          query = `${on}=${next}&limit=2`;
        }
        return seen;
      };
      expect(await walk('limit=2', 'before')).toEqual([...ids].reverse());
      expect(await walk('since=1h&limit=2', 'after')).toEqual(ids);
      expect(await walk(`after=${ids[2]}&limit=2`, 'after')).toEqual(ids.slice(3));
      expect((await page(`after=${ids[0]}&before=${ids[3]}`)).items.map(({ data }: { data: unknown }) => data)).toEqual(
        [1, 2],
      );
      expect((await call('GET', `${messages(channel)}?limit=0`)).answer.code).toBe('query_invalid');
      expect((await call('GET', `${messages(channel)}?after=x`)).answer.code).toBe('cursor_invalid');
    });

    test('forgets a message by a purge, and tells whoever had not seen it', async () => {
      const channel = named('purged');
      const first = await publish(channel, 1);
      const second = await publish(channel, 2);
      expect((await call('DELETE', messages(channel), undefined, key)).status).toBe(204);
      expect((await call('GET', `${messages(channel)}/${second}`)).answer.code).toBe('message_unknown');
      const { answer } = await call('GET', `${messages(channel)}?after=${first}`);
      expect(answer).toMatchObject({ items: [], next: null, gap: { after: first, oldest: null, reason: 'trimmed' } });

      const stream = await live(`channel=${channel}`, { 'Last-Event-ID': first });
      const third = await publish(channel, 3);
      expect(await idsUpTo(stream, third)).toEqual([third]);
      expect(controlsOf(stream.blocks, 'gap')).toEqual([{ channel, after: first, oldest: null, reason: 'trimmed' }]);
    });

    test('of a channel that was never used is empty', async () => {
      const { status, answer } = await call('GET', messages(named('never')));
      const { cursor, ...rest } = answer;
      expect([status, rest]).toEqual([200, { items: [], next: null, oldest: null, gap: null }]);
      expect(cursor === null || typeof cursor === 'string').toBe(true);
    });
  });

  describe('a stream', () => {
    test('begins with a block that holds retry and a cursor, then open, then the place where its replay ended', async () => {
      const channel = named('begin');
      const stream = await live(`channel=${channel}&pattern=${run}:begin:*`);
      expect(stream.headers.get('Content-Type')).toMatch(/^text\/event-stream/);
      expect(stream.headers.get('Cache-Control')).toContain('no-store');
      const [first, opened, end] = stream.blocks;
      expect(first).toEqual({ retry: expect.any(Number), id: expect.any(String) });
      expect(first!.retry).toBeGreaterThanOrEqual(500);
      expect(opened).toEqual({ event: 'edgewire.open', data: expect.any(String) });
      expect(JSON.parse(opened!.data!)).toEqual({
        connectionId: expect.stringMatching(/^\w+\.\w+$/),
        channels: [channel],
        patterns: [`${run}:begin:*`],
      });
      expect(end).toEqual({ id: expect.any(String) });
      const id = await publish(channel, 1);
      await line(stream, id);
      expect(stream.blocks.filter((block) => block.data !== undefined && block.event === undefined)).toHaveLength(1);
    });

    test('begins now, at an age, at the newest few, or after an id', async () => {
      const channel = named('starts');
      const ids = [await publish(channel, 0), await publish(channel, 1), await publish(channel, 2)];
      const streams = {
        now: await live(`channel=${channel}`),
        since: await live(`channel=${channel}&since=1h`),
        rewind: await live(`channel=${channel}&rewind=2`),
        cursor: await live(`channel=${channel}&cursor=${ids[1]}`),
        lastEventId: await live(`channel=${channel}`, { 'Last-Event-ID': ids[0]! }),
        both: await live(`channel=${channel}&cursor=${ids[0]}`, { 'Last-Event-ID': ids[2]! }),
      };
      const end = await publish(channel, 'end');
      const seen = await Promise.all(Object.values(streams).map((stream) => idsUpTo(stream, end)));
      expect(seen).toEqual([0, 1, 2, 3, 4, 5].map((i) => [...ids.slice([3, 0, 1, 2, 1, 3][i]), end]));
      expect(streams.cursor.blocks[0]!.id).toBe(ids[1]);
      expect(streams.lastEventId.blocks[0]!.id).toBe(ids[0]);
    });

    test('resumes over channels and patterns: everything missed, once, in order, and no alarm', async () => {
      const query = `channel=${named('r:a')}&channel=${named('r:b')}&pattern=${run}:r:user:*`;
      const reader = await live(query);
      const seen = [await publish(named('r:a'), 0), await publish(named('r:user:1'), 1)];
      expect(await idsUpTo(reader, seen[1]!)).toEqual(seen);
      reader.cut();
      const missed: string[] = [];
      for (const [i, name] of ['r:b', 'r:user:2', 'r:a', 'r:elsewhere', 'r:user:1'].entries()) {
        const id = await publish(named(name), i);
        if (name !== 'r:elsewhere') missed.push(id);
      }
      for (const more of [await live(query, { 'Last-Event-ID': seen[1]! }), await live(`${query}&cursor=${seen[1]}`)]) {
        expect(await idsUpTo(more, missed.at(-1)!)).toEqual(missed);
        expect(more.blocks.filter((block) => block.event !== undefined).map((block) => block.event)).toEqual([
          'edgewire.open',
        ]);
      }
    });

    test('with a malformed Last-Event-ID is reset in-band, since a 400 would stop a browser for ever', async () => {
      const channel = named('malformed');
      const id = await publish(channel, 1);
      const stream = await live(`channel=${channel}`, { 'Last-Event-ID': 'nonsense' });
      expect(await idsUpTo(stream, id)).toEqual([id]);
      expect(controlsOf(stream.blocks, 'reset')).toEqual([{ reason: 'malformed', from: stream.blocks[0]!.id }]);
    });

    test.each([
      ['', 'query_invalid'],
      ['channel=a%20b', 'channel_invalid'],
      ['pattern=a?', 'pattern_invalid'],
      [`channel=${run}:x&cursor=nonsense`, 'cursor_invalid'],
      [`channel=${run}:x&since=soon`, 'query_invalid'],
      [`channel=${run}:x&rewind=0`, 'query_invalid'],
      [`channel=${run}:x&chanel=y`, 'query_invalid'],
    ])('asked for by ?%s is refused', async (query, code) => {
      const stream = await read(query);
      expect([stream.status, stream.problem?.code]).toEqual([400, code]);
    });
  });

  describe('a token', () => {
    const bearer = (token: string) => ({ Authorization: `Bearer ${token}` });
    const status = async (query: string, headers: Record<string, string>) => (await read(query, headers)).status;

    test('reads what it names by header and by query, and nothing beyond it', async () => {
      const [mine, others] = [named('token:mine'), named('token:others')];
      const token = await mint({ sub: 'conformance', channels: [mine], patterns: [`${run}:token:my:*`], ttl: '5m' });
      const stream = await live(`channel=${mine}&pattern=${run}:token:my:*`, bearer(token));
      const id = await publish(mine, 1);
      expect(await idsUpTo(stream, id)).toEqual([id]);
      expect(await status(`channel=${mine}&token=${token}`, { Authorization: '' }).catch(() => 0)).not.toBe(200);
      const bare = await openStream(`${relayUrl}/v1/stream?channel=${mine}&token=${token}`, {});
      open.push(bare);
      expect(bare.status).toBe(200);

      expect(await status(`channel=${mine}&channel=${others}`, bearer(token))).toBe(403);
      expect(await status(`pattern=${run}:token:*`, bearer(token))).toBe(403);
      expect(await status(`channel=${mine}`, bearer(`${token.slice(0, -3)}AAA`))).toBe(401);
      expect((await call('GET', messages(mine), undefined, bearer(token))).status).toBe(200);
      expect((await call('GET', messages(others), undefined, bearer(token))).answer.code).toBe('not_granted');
      expect((await call('POST', messages(mine), '1', { ...json, ...bearer(token) })).answer.code).toBe('not_granted');
      expect(
        (await call('POST', '/v1/tokens', '{"sub":"x","channels":["a"]}', { ...json, ...bearer(token) })).status,
      ).toBe(403);
    });

    test('publishes where it says so', async () => {
      const channel = named('token:publish');
      const token = await mint({ sub: 'conformance', publish: [channel] });
      expect((await call('POST', messages(channel), '1', { ...json, ...bearer(token) })).status).toBe(201);
    });

    test('is kept in a cookie by a session, which counts only where a browser vouches for the page', async () => {
      const channel = named('cookie');
      const token = await mint({ sub: 'conformance', channels: [channel] });
      const kept = await fetch(`${relayUrl}/v1/session`, { method: 'POST', headers: bearer(token) });
      expect(kept.status).toBe(204);
      const [cookie, ...rules] = kept.headers.get('Set-Cookie')!.split('; ');
      expect(cookie).toMatch(/^__Host-\w+=/);
      expect(rules).toEqual(expect.arrayContaining(['Path=/', 'Secure', 'HttpOnly']));
      const ask = async (query: string, headers: Record<string, string>) => {
        const stream = await openStream(`${relayUrl}/v1/stream?${query}`, { Cookie: cookie!, ...headers });
        open.push(stream);
        return stream.problem?.code ?? stream.status;
      };
      const page = { 'Sec-Fetch-Site': 'same-origin' };
      expect(await ask(`channel=${channel}`, page)).toBe(200);
      expect(await ask(`channel=${named('cookie:not')}`, page)).toBe('not_granted');
      expect(await ask(`channel=${channel}`, { 'Sec-Fetch-Site': 'cross-site' })).toBe('origin_refused');
      const ended = await fetch(`${relayUrl}/v1/session`, { method: 'DELETE', headers: bearer(token) });
      expect(ended.headers.get('Set-Cookie')).toContain('Max-Age=0');
    });
  });

  describe('CORS', () => {
    const preflight = (url: string, from: string, method: string, headers: string) =>
      fetch(url, {
        method: 'OPTIONS',
        headers: { Origin: from, 'Access-Control-Request-Method': method, 'Access-Control-Request-Headers': headers },
      });

    test('lets no page in from an origin that is not on the list', async () => {
      const from = 'https://stranger.example';
      const stream = await read(`channel=${named('cors')}`, { Origin: from });
      expect([stream.status, stream.problem?.code]).toEqual([403, 'origin_refused']);
      for (const url of [`${edgeUrl}${messages(named('cors'))}`, `${relayUrl}/v1/session`]) {
        const answer = await preflight(url, from, 'POST', 'authorization');
        expect(answer.headers.get('Access-Control-Allow-Origin')).toBeNull();
      }
      const { response } = await call('GET', messages(named('cors')), undefined, { ...key, Origin: from });
      expect(response.headers.get('Access-Control-Allow-Origin')).toBeNull();
    });

    test.skipIf(!origin)('lets pages of a listed origin publish, read and keep a session', async () => {
      const from = origin!;
      const url = `${edgeUrl}${messages(named('cors'))}`;
      const asked = 'authorization,content-type,edgewire-meta-x,idempotency-key';
      const allowed = await preflight(url, from, 'POST', asked);
      expect(allowed.status).toBe(204);
      expect(allowed.headers.get('Access-Control-Allow-Origin')).toBe(from);
      expect(allowed.headers.get('Access-Control-Allow-Methods')).toContain('POST');
      expect(allowed.headers.get('Access-Control-Allow-Headers')!.split(/, */)).toEqual(asked.split(','));
      const published = await call('POST', messages(named('cors')), '1', { ...json, Origin: from });
      expect(published.response.headers.get('Access-Control-Allow-Origin')).toBe(from);
      expect(published.response.headers.get('Access-Control-Expose-Headers')).toContain('Location');

      const stream = await live(`channel=${named('cors')}`, { Origin: from });
      expect(stream.headers.get('Access-Control-Allow-Origin')).toBe(from);
      expect(stream.headers.get('Access-Control-Allow-Credentials')).toBe('true');
      expect(stream.headers.get('Vary')).toMatch(/origin/i);
      const session = await preflight(`${relayUrl}/v1/session`, from, 'POST', 'authorization');
      expect(session.headers.get('Access-Control-Allow-Origin')).toBe(from);
      const refused = await read('channel=a%20b', { Origin: from });
      expect(refused.headers.get('Access-Control-Allow-Origin')).toBe(from); // so that the page can read why
    });
  });

  describe.each([
    ['edge', edgeUrl],
    ['relay', relayUrl],
  ])('the OpenAPI document of the %s', (_, url) => {
    type Operations = Record<string, { responses?: object }>;
    const load = async () => {
      const response = await fetch(`${url}/openapi.json`);
      expect([response.status, response.headers.get('Content-Type')]).toEqual([200, 'application/json']);
      return (await response.json()) as { openapi: string; info: object; paths: Record<string, Operations> };
    };

    test('is one of version 3.1 in which every reference leads somewhere', async () => {
      const document = await load();
      expect(document.openapi).toMatch(/^3\.1\./);
      expect(document.info).toMatchObject({ title: expect.any(String), version: expect.any(String) });
      const references = [...JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g)].map((match) => match[1]!);
      expect(references.length).toBeGreaterThan(0);
      for (const reference of new Set(references)) {
        const target = reference
          .replace(/^#\//, '')
          .split('/')
          .reduce<unknown>(
            (at, step) => (at as Record<string, unknown>)?.[step.replaceAll('~1', '/').replaceAll('~0', '~')],
            document,
          );
        expect(target, reference).toBeTypeOf('object');
      }
    });

    test('names only what is served, with an answer for each method', async () => {
      const { paths } = await load();
      const methods = ['get', 'post', 'put', 'delete', 'patch'];
      for (const [path, operations] of Object.entries(paths)) {
        for (const method of methods.filter((name) => name in operations)) {
          const target = path.replaceAll('{channel}', `${run}:described`).replaceAll('{id}', 'abc-1-0');
          const response = await fetch(`${url}${target}`, { method: method.toUpperCase() });
          const isProblem = response.headers.get('Content-Type') === 'application/problem+json';
          const { code } = isProblem ? await response.json() : { code: await response.body?.cancel() };
          expect(['route_unknown', 'method_not_allowed'], `${method} ${path}`).not.toContain(code);
          const answers = Object.keys(operations[method]!.responses!);
          const isTold = answers.includes(String(response.status)) || (isProblem && answers.includes('default'));
          expect(isTold, `${method} ${path}: ${response.status}`).toBe(true);
        }
      }
    });
  });

  test('both programs say that they run', async () => {
    for (const url of [edgeUrl, relayUrl]) {
      expect(await (await fetch(`${url}/healthz`)).json()).toEqual({ status: 'ok' });
    }
    expect((await fetch(`${relayUrl}/readyz`)).status).toBe(200);
  });
}
