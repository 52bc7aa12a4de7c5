import fc from 'fast-check';
import type { Asked } from './http.ts';

/**
 * Requests that nobody wrote by hand: a right one, up to four of its parts changed. Everything in them can be sent by Node's
 * client; what it cannot send is in the tables.
 */

export interface Target {
  /** Right requests, over all routes. */
  right: readonly Asked[];
  /** What stands well or ill in an Authorization header. */
  authorizations: readonly string[];
  /** Names and ids that exist, and such that do not. */
  words: readonly string[];
}

const nasty = [
  '',
  ' ',
  '%',
  '%00',
  '%0A',
  '%0D%0A',
  '%2F',
  '%E2%80%A8',
  '%ff',
  '..',
  '.',
  '*',
  '**',
  '?',
  '{ew:default}',
  '__proto__',
  'constructor',
  '\xe9',
  '\u0080',
  '-1',
  '0',
  '1',
  '1e9',
  '99999999999999999999',
  'null',
  'true',
  '{}',
  '[]',
  '<script>',
  "'",
  '"',
  '\\',
  ';',
  ',',
  ':',
  '::',
  '=',
  '&',
  '#',
  '+',
  '\t',
  'x'.repeat(65),
  'x'.repeat(256),
  'x'.repeat(3000),
];
const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND'];
const headerNames = [
  'Content-Type',
  'Content-Encoding',
  'Idempotency-Key',
  'Edgewire-Type',
  'Edgewire-Priority',
  'Edgewire-Key',
  'Edgewire-Store',
  'Edgewire-Ttl',
  'Edgewire-Source',
  'Edgewire-Meta-a',
  'Edgewire-Meta-',
  'Edgewire-Foo',
  'traceparent',
  'Origin',
  'Cookie',
  'Sec-Fetch-Site',
  'Access-Control-Request-Method',
  'Access-Control-Request-Headers',
  'Last-Event-ID',
  'Accept',
  'Range',
  'If-None-Match',
  'X-Forwarded-Host',
  'X-HTTP-Method-Override',
];
const contentTypes = [
  'application/json',
  'application/json; charset=utf-8',
  'text/plain',
  'application/vnd.edgewire+json',
  'application/x-www-form-urlencoded',
  'application/octet-stream',
  'image/png',
  'multipart/form-data; boundary=x',
  'application/cloudevents+json',
  'text/plain; charset=latin1',
];
const parameters = [
  'limit',
  'order',
  'since',
  'after',
  'before',
  'type',
  'priority',
  'key',
  'store',
  'ttl',
  'source',
  'meta-a',
  'channel',
  'pattern',
  'cursor',
  'rewind',
  'token',
  'foo',
  '__proto__',
];
const values = [
  '1',
  '10m',
  '90s',
  'asc',
  'desc',
  'no',
  'yes',
  'high',
  'a',
  'shop:1',
  'open:1',
  'shop:*',
  'null',
  '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  'same-origin',
  'https://app.example',
  'gzip',
  'identity',
  'localhost',
  'edge.example',
];

export function generated({ right, authorizations, words }: Target): fc.Arbitrary<Asked> {
  const word = fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom(...nasty) },
    { weight: 3, arbitrary: fc.constantFrom(...words, ...values) },
    { weight: 2, arbitrary: fc.string({ unit: 'binary-ascii', maxLength: 30 }) },
    { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 20 }) },
  );
  const json = fc.oneof(
    fc.json({ maxDepth: 4 }),
    fc.json({ maxDepth: 2, stringUnit: 'binary' }),
    fc
      .array(
        fc.record(
          { channel: word, data: fc.jsonValue(), type: word, ttl: fc.oneof(word, fc.integer()) },
          { requiredKeys: [] },
        ),
        { maxLength: 5 },
      )
      .map((items) => JSON.stringify(items)),
    fc
      .record(
        {
          data: fc.jsonValue(),
          type: word,
          meta: fc.dictionary(word, word, { maxKeys: 3 }),
          replyTo: word,
          store: word,
          x: word,
        },
        { requiredKeys: [] },
      )
      .map((fields) => JSON.stringify(fields)),
    fc
      .record(
        {
          sub: word,
          channels: fc.array(word, { maxLength: 3 }),
          patterns: fc.array(word, { maxLength: 3 }),
          publish: fc.array(word, { maxLength: 3 }),
          ttl: word,
        },
        { requiredKeys: [] },
      )
      .map((fields) => JSON.stringify(fields)),
    fc.integer({ min: 1, max: 200 }).map((depth) => '['.repeat(depth) + ']'.repeat(depth)),
  );
  const change: fc.Arbitrary<(asked: Asked) => Asked> = fc.oneof(
    fc.constantFrom(...methods).map((method) => (a: Asked) => ({ ...a, method })),
    {
      weight: 3,
      arbitrary: fc.tuple(fc.nat(6), word).map(
        ([at, text]) =>
          (a: Asked) =>
            segments(a, (parts) => parts.with(at % parts.length, text)),
      ),
    },
    fc.tuple(fc.nat(6), word).map(
      ([at, text]) =>
        (a: Asked) =>
          segments(a, (parts) => parts.toSpliced(at, 0, text)),
    ),
    fc.nat(6).map((at) => (a: Asked) => segments(a, (parts) => parts.toSpliced(at, 1))),
    {
      weight: 2,
      arbitrary: fc.tuple(fc.oneof(fc.constantFrom(...parameters), word), word).map(
        ([name, value]) =>
          (a: Asked) =>
            query(a, `${name}=${value}`),
      ),
    },
    fc.tuple(fc.constantFrom(...parameters), word).map(
      ([name, value]) =>
        (a: Asked) =>
          query(a, `${name}=${encodeURIComponent(value.toWellFormed())}`),
    ),
    {
      weight: 2,
      arbitrary: fc.tuple(fc.constantFrom(...headerNames), word).map(
        ([name, value]) =>
          (a: Asked) =>
            header(a, name, value),
      ),
    },
    fc
      .constantFrom('localhost', 'LOCALHOST:80', '127.0.0.1', 'edge.example', '[::1]')
      .map((host) => (a: Asked) => header(a, 'Host', host)),
    fc.constantFrom(...contentTypes).map((type) => (a: Asked) => header(a, 'Content-Type', type)),
    {
      weight: 2,
      arbitrary: fc.constantFrom(...authorizations).map((value) => (a: Asked) => header(a, 'Authorization', value)),
    },
    word.map((value) => (a: Asked) => header(a, 'Authorization', `Bearer ${value}`)),
    { weight: 2, arbitrary: json.map((body) => (a: Asked) => ({ ...a, body })) },
    fc.uint8Array({ maxLength: 200 }).map((body) => (a: Asked) => ({ ...a, body })),
    {
      weight: 2,
      arbitrary: fc.tuple(fc.nat(), fc.uint8Array({ maxLength: 4 }), fc.nat(4)).map(
        ([at, bytes, removed]) =>
          (a: Asked) =>
            spliced(a, at, bytes, removed),
      ),
    },
    fc.boolean().map((chunked) => (a: Asked) => ({ ...a, chunked })),
  );
  return fc
    .tuple(fc.constantFrom(...right), fc.array(change, { maxLength: 4 }))
    .map(([asked, changes]) => sendable(changes.reduce((a, one) => one(a), asked)));
}

function segments(asked: Asked, change: (parts: string[]) => string[]): Asked {
  const [path = '', ...rest] = asked.path.split('?');
  return { ...asked, path: [`/${change(path.split('/').slice(1)).join('/')}`, ...rest].join('?') };
}

function query(asked: Asked, pair: string): Asked {
  return { ...asked, path: `${asked.path}${asked.path.includes('?') ? '&' : '?'}${pair}` };
}

function header(asked: Asked, name: string, value: string): Asked {
  const others = Object.entries(asked.headers ?? {}).filter(([other]) => other.toLowerCase() !== name.toLowerCase());
  return { ...asked, headers: { ...Object.fromEntries(others), [name]: value } };
}

function spliced(asked: Asked, at: number, bytes: Uint8Array, removed: number): Asked {
  const before = Buffer.from(asked.body ?? '');
  const place = before.length === 0 ? 0 : at % before.length;
  return { ...asked, body: Buffer.concat([before.subarray(0, place), bytes, before.subarray(place + removed)]) };
}

/** What Node's client would throw at is written in another way: in the path percent-encoded, in a header left out. */
function sendable({ path, headers = {}, method = 'GET', body, chunked }: Asked): Asked {
  const safe = Object.entries(headers).map(([name, value]) => [
    name,
    String(value)
      .replaceAll(/[^\t\x20-\x7e\x80-\xff]/g, '')
      .trim(),
  ]);
  // A body on a method that has none is not sent on by every proxy; what a server makes of one is no concern of ours.
  const bodied = body !== undefined && /^(POST|PUT|PATCH)$/.test(method);
  return {
    method,
    path: path
      .toWellFormed()
      .replaceAll(/[^\x21-\x7e]/gu, encodeURIComponent)
      .slice(0, 6000),
    headers: Object.fromEntries(safe),
    ...(bodied && { body }),
    ...(bodied && chunked && { chunked }),
  };
}
