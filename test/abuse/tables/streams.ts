import { limits } from '../../../shared/limits.ts';
import type { Asked } from '../http.ts';
import { origin, type World } from '../world.ts';
import { credentials, headers, seconds } from './credentials.ts';
import { type Row, rows, shown } from './row.ts';

/** A stream by the key that may do everything, unless `headers` say otherwise. */
export function stream(query: string, headers: Asked['headers'] = {}): Asked {
  return { path: `/v1/stream${query}`, headers };
}

/** By nobody, or by whom `headers` name. */
export function anonymous(query: string, headers: Asked['headers'] = {}): Asked {
  return stream(query, { Authorization: '', ...headers });
}

const badNames = [
  '',
  'a%20b',
  'a+b',
  '%00',
  'a%0Ab',
  '%0D%0A',
  '%E2%80%A8',
  '%C3%A9',
  '%ff',
  '%',
  '%zz',
  '%2F',
  'a/b',
  '..',
  'a:..',
  ':',
  'a:',
  ':a',
  'a::b',
  '{ew}',
  '%7Bew:default%7D:clock',
  "a'b",
  'a,b',
  'x'.repeat(65),
  Array(17).fill('a').join(':'),
  Array(5).fill('x'.repeat(60)).join(':'),
];
const badStars = ['*:*:*:*', '****', 'a?', 'a%5Bb%5D', '%2A%2A%2A%2A', `${'x'.repeat(65)}*`, 'a:*:..'];

const names: Row[] = [
  ...rows({ status: 400, code: 'channel_invalid', told: /^channel: Use segments of A-Z/ }, [
    ...[...badNames, 'a*', '*'].map((name): [string, Row['ask']] => [
      `the channel ${shown(name)}`,
      stream(`?channel=${name}`),
    ]),
    ['one wrong channel among good ones', stream('?channel=shop:1&channel=a%20b&channel=shop:2')],
  ]),
  ...rows(
    {
      status: 400,
      code: 'pattern_invalid',
      told: /^pattern: A pattern is a channel in which "\*" stands for any characters/,
    },
    [
      ...[...badNames, ...badStars].map((name): [string, Row['ask']] => [
        `the pattern ${shown(name)}`,
        stream(`?pattern=${name}`),
      ]),
      ['one wrong pattern beside a good channel', stream('?channel=shop:1&pattern=a?')],
    ],
  ),
];

const many = (what: string, count: number) => `?${Array.from({ length: count }, (_, i) => `${what}=n${i}`).join('&')}`;

const counts: Row[] = [
  ...rows({ status: 400, code: 'query_invalid', told: /^Name at least one channel or pattern, as in/ }, [
    ...['', '?', '?&', '?since=1m'].map((query): [string, Row['ask']] => [
      `a stream of nothing: ${shown(query)}`,
      stream(query),
    ]),
  ]),
  ...rows(
    {
      status: 400,
      code: 'query_invalid',
      told: /^channel: at most 100 in one stream\. Use a pattern, or several streams/,
    },
    [
      ['101 channels', stream(many('channel', limits.streamChannelsMax + 1))],
      ['1,000 channels', stream(many('channel', 1000))],
    ],
  ),
  ...rows({ status: 400, code: 'query_invalid', told: /^pattern: at most 10 in one stream/ }, [
    ['11 patterns', stream(many('pattern', limits.streamPatternsMax + 1))],
  ]),
  ...rows(
    {
      status: 400,
      code: 'query_invalid',
      told: /^Known parameters are channel, pattern, cursor, since, rewind, token, lastEventId/,
    },
    [
      ...[
        'foo=1',
        'Channel=a',
        'channels=a',
        'topic=a',
        'channel%5B%5D=a',
        'last_event_id=1',
        '__proto__=1',
        'constructor=1',
        '%00=1',
        '=1',
        'limit=1',
        'after=a-1-0',
      ].map((query): [string, Row['ask']] => [`the parameter ${query}`, stream(`?channel=shop:1&${query}`)]),
    ],
  ),
];

const starts: Row[] = [
  ...rows({ status: 400, code: 'cursor_invalid', told: /^cursor: give the id of a message/ }, [
    ...[
      '',
      'x',
      '0',
      '1-2',
      'a-1',
      'A-1-0',
      'a-1-0-0',
      'a-1-0%0A',
      'a-1-0%20',
      '%00',
      '%E2%80%A8',
      `a-${'1'.repeat(16)}-0`,
      'a-1e3-0',
      '__proto__',
    ].map((cursor): [string, Row['ask']] => [`cursor=${cursor}`, stream(`?channel=shop:1&cursor=${cursor}`)]),
  ]),
  ...rows({ status: 400, code: 'query_invalid', told: /^since: give a time such as 90s, 10m, 2h or 1d, at most 30d/ }, [
    ...['', 'x', '-1m', '31d', '1y', '1.5h', '1m%0A', '%00', '99999999999s', 'now'].map(
      (since): [string, Row['ask']] => [`since=${since}`, stream(`?channel=shop:1&since=${since}`)],
    ),
  ]),
  ...rows({ status: 400, code: 'query_invalid', told: /^rewind: give a number of messages from 1 to 1000/ }, [
    ...['', '0', '-1', '1001', '1e2', '1.5', '0x1', 'all', '5%0A', '%00', '99999'].map(
      (rewind): [string, Row['ask']] => [`rewind=${rewind}`, stream(`?channel=shop:1&rewind=${rewind}`)],
    ),
  ]),
  ...rows({ status: 400, code: 'query_invalid', told: /^Give one of cursor, since and rewind/ }, [
    ...['since=1m&rewind=1', 'cursor=a-1-0&since=1m', 'cursor=a-1-0&rewind=1', 'cursor=x&since=x&rewind=x'].map(
      (query): [string, Row['ask']] => [query, stream(`?channel=shop:1&${query}`)],
    ),
  ]),
  ...rows({ status: 400, code: 'query_invalid', told: /^(cursor|since|rewind|token): give it once/ }, [
    ...['cursor=a-1-0&cursor=a-1-0', 'since=1m&since=1m', 'rewind=1&rewind=1', 'token=a&token=b'].map(
      (query): [string, Row['ask']] => [query, stream(`?channel=shop:1&${query}`)],
    ),
  ]),
  // What stands in the query is checked even where a Last-Event-ID goes before it.
  ...rows({ status: 400, code: 'cursor_invalid', told: /^cursor: give the id/ }, [
    [
      'a wrong cursor beside a Last-Event-ID',
      (w) => stream('?channel=shop:1&cursor=x', { 'Last-Event-ID': w.ids[0]! }),
    ],
  ]),
];

const refused = {
  status: 401,
  code: 'credential_invalid',
  told: /^Send a key or a token that is valid, unexpired and meant for this deployment|^Send an API key as Authorization/,
  headers: { 'www-authenticate': 'Bearer realm="edgewire", error="invalid_token"' },
} as const;
const sameOrigin = { 'Sec-Fetch-Site': 'same-origin' };
/** Whatever a header could carry, where a query or a cookie can. */
const bare = (authorization: string) => authorization.replace(/^Bearer /, '');

const authentication: Row[] = [
  ...credentials.flatMap(([what, authorization]): Row[] => [
    {
      what: `a stream with ${what}`,
      ask: (w) => stream('?channel=shop:1', { Authorization: authorization(w) }),
      ...refused,
    },
    {
      what: `an open stream with ${what} in the query`,
      ask: (w) => anonymous(`?channel=open:1&token=${encodeURIComponent(bare(authorization(w)))}`),
      ...refused,
    },
    {
      what: `an open stream with ${what} in the cookie`,
      ask: (w) => anonymous('?channel=open:1', { ...sameOrigin, Cookie: `__Host-edgewire=${bare(authorization(w))}` }),
      ...refused,
    },
  ]),
  ...headers.flatMap(([what, authorization]): Row[] =>
    ['shop:1', 'open:1'].map((channel) => ({
      what: `a stream of ${channel} with the Authorization ${what}`,
      ask: (w: World) => stream(`?channel=${channel}`, { Authorization: authorization(w) }),
      status: 401,
      code: 'credential_invalid',
      told: /^Write the header as Authorization: Bearer <key or token>/,
      headers: { 'www-authenticate': 'Bearer realm="edgewire", error="invalid_request"' },
    })),
  ),
  {
    what: 'a stream with an API key in the URL, where keys that never expire do not belong',
    ask: (w) => anonymous(`?channel=shop:1&token=${w.keys.reader}`),
    ...refused,
    told: /^Send an API key as Authorization: Bearer <key>, never in a URL/,
  },
  { what: 'an open stream with an empty token in the query', ask: anonymous('?channel=open:1&token='), ...refused },
  {
    what: 'an open stream with an empty cookie',
    ask: anonymous('?channel=open:1', { ...sameOrigin, Cookie: '__Host-edgewire=' }),
    ...refused,
  },
  {
    what: 'a wrong header beside a good cookie',
    ask: (w) =>
      stream('?channel=shop:1', { Authorization: 'Bearer x', ...sameOrigin, Cookie: `__Host-edgewire=${w.token()}` }),
    ...refused,
  },
  {
    what: 'a wrong query token beside a good cookie',
    ask: (w) => anonymous('?channel=shop:1&token=x', { ...sameOrigin, Cookie: `__Host-edgewire=${w.token()}` }),
    ...refused,
  },
];

const missing = (names: string) =>
  ({
    status: 401,
    code: 'credential_missing',
    told: new RegExp(`^To read ${names}, send a key or token: Authorization: Bearer <...>`),
    headers: { 'www-authenticate': 'Bearer realm="edgewire"' },
  }) as const;

const anonymity: Row[] = [
  { what: 'a stream for nobody', ask: anonymous('?channel=shop:1'), ...missing('shop:1') },
  { what: 'a pattern for nobody', ask: anonymous('?pattern=*'), ...missing('\\*') },
  { what: 'a pattern wider than what is open', ask: anonymous('?pattern=open*'), ...missing('open\\*') },
  {
    what: 'an open and a closed channel for nobody: never the open one alone',
    ask: anonymous('?channel=open:1&channel=shop:1'),
    ...missing('shop:1'),
  },
  {
    what: 'a token in a cookie of another name',
    ask: (w) =>
      anonymous('?channel=shop:1', { ...sameOrigin, Cookie: `edgewire=${w.token()}; Host-edgewire=${w.token()}` }),
    ...missing('shop:1'),
  },
  {
    what: 'a token in Last-Event-ID',
    ask: (w) => anonymous('?channel=shop:1', { 'Last-Event-ID': w.token() }),
    ...missing('shop:1'),
  },
];

const lacks = (kind: 'key' | 'token', names: string) =>
  ({
    status: 403,
    code: 'not_granted',
    told: new RegExp(`^This ${kind} may not read ${names}\\. Use one whose scopes cover it\\.$`),
  }) as const;
const by = (authorization: (w: World) => string, query: string) => (w: World) =>
  stream(query, { Authorization: `Bearer ${authorization(w)}` });

const grants: Row[] = [
  {
    what: 'a granted and an ungranted channel: refused, naming the ungranted one',
    ask: by((w) => w.token(), '?channel=shop:1&channel=shop:2'),
    ...lacks('token', 'shop:2'),
  },
  {
    what: 'a granted channel and an ungranted pattern',
    ask: by((w) => w.token(), '?channel=shop:1&pattern=shop:*'),
    ...lacks('token', 'shop:\\*'),
  },
  {
    what: 'seven ungranted channels',
    ask: by((w) => w.token(), `?channel=shop:1&${Array.from({ length: 7 }, (_, i) => `channel=x:${i}`).join('&')}`),
    ...lacks('token', 'x:0, x:1, x:2, x:3, x:4 and 2 more'),
  },
  {
    what: 'a wider pattern than granted',
    ask: by((w) => w.token({ patterns: ['shop:*'] }), '?pattern=shop*'),
    ...lacks('token', 'shop\\*'),
  },
  {
    what: 'a pattern by a token of channels',
    ask: by((w) => w.token(), '?pattern=shop:1*'),
    ...lacks('token', 'shop:1\\*'),
  },
  {
    what: 'what a token may only publish',
    ask: by((w) => w.token({ channels: [], publish: ['*'] }), '?channel=shop:1'),
    ...lacks('token', 'shop:1'),
  },
  {
    what: 'what a key may only publish',
    ask: by((w) => w.keys.publisher, '?channel=shop:1'),
    ...lacks('key', 'shop:1'),
  },
  {
    what: 'a token that grants nothing, for what is open to everyone',
    ask: by((w) => w.token({ channels: [] }), '?channel=open:1'),
    ...lacks('token', 'open:1'),
  },
  {
    what: 'an ungranted channel by a token in the query',
    ask: (w) => anonymous(`?channel=shop:2&token=${w.token()}`),
    ...lacks('token', 'shop:2'),
  },
  {
    what: 'an ungranted channel by a token in the cookie',
    ask: (w) => anonymous('?channel=shop:2', { ...sameOrigin, Cookie: `__Host-edgewire=${w.token()}` }),
    ...lacks('token', 'shop:2'),
  },
];

const foreign = [
  'https://evil.example',
  'null',
  `${origin}.evil.example`,
  `${origin}:444`,
  'http://app.example',
  `${origin}/`,
  'https://APP.example',
  '*',
  'file://',
  'x',
  'http://127.0.0.1:1',
  'http://localhost',
];
const noCors = {
  'access-control-allow-origin': undefined,
  'access-control-allow-credentials': undefined,
  'set-cookie': undefined,
};
const originRefused = {
  status: 403,
  code: 'origin_refused',
  told: /^Pages of this origin may not read here\. Add the origin to ALLOWED_ORIGINS of the relay/,
  headers: noCors,
} as const;
const cors = { 'access-control-allow-origin': origin, 'access-control-allow-credentials': 'true', vary: 'Origin' };

const origins: Row[] = [
  ...foreign.flatMap((from): Row[] => [
    {
      what: `an open stream for a page of ${from}`,
      ask: anonymous('?channel=open:1', { Origin: from }),
      ...originRefused,
    },
    {
      what: `a stream by cookie for a page of ${from}`,
      ask: (w) => anonymous('?channel=shop:1', { Origin: from, Cookie: `__Host-edgewire=${w.token()}` }),
      ...originRefused,
    },
    {
      what: `a stream by key for a page of ${from}`,
      ask: stream('?channel=shop:1', { Origin: from }),
      ...originRefused,
    },
    {
      what: `a preflight for a page of ${from}`,
      ask: { ...anonymous('', { Origin: from, 'Access-Control-Request-Method': 'GET' }), method: 'OPTIONS' },
      ...originRefused,
    },
    {
      what: `a session for a page of ${from}`,
      ask: (w) => ({
        method: 'POST',
        path: '/v1/session',
        headers: { Authorization: `Bearer ${w.token()}`, Origin: from },
      }),
      ...originRefused,
    },
    {
      what: `the end of a session for a page of ${from}`,
      ask: { method: 'DELETE', path: '/v1/session', headers: { Authorization: '', Origin: from } },
      ...originRefused,
    },
  ]),
  ...[
    {},
    { 'Sec-Fetch-Site': 'none' },
    { 'Sec-Fetch-Site': 'same-site' },
    { 'Sec-Fetch-Site': 'cross-site' },
    { 'Sec-Fetch-Site': '' },
    { 'Sec-Fetch-Site': 'same-origin, same-origin' },
  ].map(
    (site): Row => ({
      what: `a stream by cookie, no Origin, Sec-Fetch-Site ${JSON.stringify(site)}`,
      ask: (w) =>
        anonymous('?channel=shop:1', { ...(site as Record<string, string>), Cookie: `__Host-edgewire=${w.token()}` }),
      status: 403,
      code: 'origin_refused',
      told: /^A cookie is accepted only from a browser that says which site asks\. Send a token instead/,
      headers: noCors,
    }),
  ),
  // Refusals that a page of ours must be able to read.
  {
    what: 'a malformed stream for a page of ours',
    ask: stream('?channel=a%20b', { Origin: origin }),
    status: 400,
    code: 'channel_invalid',
    told: /^channel: Use segments/,
    headers: cors,
  },
  {
    what: 'an ungranted stream for a page of ours',
    ask: anonymous('?channel=shop:1', { Origin: origin }),
    ...missing('shop:1'),
    headers: cors,
  },
  {
    what: 'an expired cookie from a page of ours',
    ask: (w) =>
      anonymous('?channel=open:1', {
        Origin: origin,
        Cookie: `__Host-edgewire=${w.token({ iat: seconds(-700), exp: seconds(-60) })}`,
      }),
    ...refused,
    headers: { ...refused.headers, ...cors },
  },
  {
    what: 'an unknown route for a page of ours',
    ask: { path: '/v1/nothing', headers: { Origin: origin } },
    status: 404,
    code: 'route_unknown',
    told: /openapi/,
    headers: cors,
  },
];

const sessions: Row[] = [
  {
    what: 'a session for nobody',
    ask: { method: 'POST', path: '/v1/session', headers: { Authorization: '' } },
    status: 401,
    code: 'credential_missing',
    told: /^Send the token to keep as Authorization: Bearer <token>/,
    headers: { 'set-cookie': undefined },
  },
  {
    what: 'a session for a cookie alone',
    ask: (w) => ({
      method: 'POST',
      path: '/v1/session',
      headers: { Authorization: '', ...sameOrigin, Cookie: `__Host-edgewire=${w.token()}` },
    }),
    status: 401,
    code: 'credential_missing',
    told: /^Send the token to keep/,
    headers: { 'set-cookie': undefined },
  },
  {
    what: 'a session for a token in the query',
    ask: (w) => ({ method: 'POST', path: `/v1/session?token=${w.token()}`, headers: { Authorization: '' } }),
    status: 401,
    code: 'credential_missing',
    told: /^Send the token to keep/,
    headers: { 'set-cookie': undefined },
  },
  {
    what: 'a session for a key',
    ask: { method: 'POST', path: '/v1/session' },
    status: 403,
    code: 'not_granted',
    told: /^Only tokens are kept in a cookie; keys stay on servers/,
    headers: { 'set-cookie': undefined },
  },
  ...credentials.map(
    ([what, authorization]): Row => ({
      what: `a session for ${what}`,
      ask: (w) => ({ method: 'POST', path: '/v1/session', headers: { Authorization: authorization(w) } }),
      ...refused,
      headers: { ...refused.headers, 'set-cookie': undefined },
    }),
  ),
];

const served: [path: string, allow: string, others: string[]][] = [
  ['/v1/stream?channel=shop:1', 'GET', ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'QUERY']],
  ['/v1/session', 'POST, DELETE', ['GET', 'PUT', 'PATCH', 'OPTIONS', 'TRACE']],
  ['/healthz', 'GET, HEAD', ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']],
  ['/readyz', 'GET, HEAD', ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']],
  ['/metrics', 'GET, HEAD', ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']],
  ['/openapi.json', 'GET, HEAD', ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']],
  ['/console', 'GET, HEAD', ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']],
];

const methods: Row[] = served.flatMap(([path, allow, others]) =>
  others.map(
    (method): Row => ({
      what: `${method} ${path}`,
      ask: { method, path, ...(/^P/.test(method) && { body: '1' }) },
      status: 405,
      code: 'method_not_allowed',
      told: new RegExp(`^Use ${allow}\\.$`),
      headers: { allow },
    }),
  ),
);

const routes: Row[] = rows(
  {
    status: 404,
    code: 'route_unknown',
    told: /^See \/openapi\.json for what is served here; publishing is at the edge/,
  },
  [
    '/v1',
    '/v1/',
    '/v1/streams',
    '/v1/stream/',
    '/v1/Stream',
    '/V1/stream',
    '//v1/stream',
    '/v1//stream',
    '/v1/stream%2F',
    '/v1/%73tream',
    '/v1/../v1/stream?channel=open:1',
    '/v1/messages',
    '/v1/channels/shop:1/messages',
    '/v1/tokens',
    '/console/',
    '/console.html',
    '/healthz/',
    '/.env',
    '/../../etc/passwd',
    '/__proto__',
    '/constructor',
    '/%',
    '/%00',
    '/%0D%0ASet-Cookie:%20a=1',
    '/%E2%80%A8',
    `/${'a'.repeat(8000)}`,
  ].flatMap((path): [string, Row['ask']][] => [
    [`GET ${shown(path)}`, { path }],
    ...(/\.\.|%73/.test(path)
      ? []
      : ([[`POST ${shown(path)}`, { method: 'POST', path, body: '1' }]] as [string, Row['ask']][])),
  ]),
);

/** A head of the whole stream table: what the relay refuses, by kind. */
export const relayTables: Record<string, Row[]> = {
  'names of a stream': names,
  'counts and parameters of a stream': counts,
  'starts of a stream': starts,
  'wrong credentials at a stream': authentication,
  'no credential at a stream': anonymity,
  'credentials that grant a stream something else': grants,
  origins,
  sessions,
  methods,
  'unknown routes': routes,
};
