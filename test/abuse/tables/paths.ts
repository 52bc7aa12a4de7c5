import { limits } from '../../../shared/limits.ts';
import { history, json, publish, type Row, rows, shown } from './row.ts';

const badNames = [
  '%C3%A9',
  '%F0%9F%98%80',
  '%E2%80%A8',
  '%EF%BB%BFa',
  '%00',
  'a%00b',
  '%0D%0A',
  'a%0D%0Aedgewire:%201',
  'a%09b',
  'a%20b',
  '%7F',
  '%2F',
  'a%2Fb',
  '%2e%2e%2fa',
  'a%5Cb',
  '%',
  '%2',
  '%zz',
  '%u0041',
  '%25',
  '%25%32%46',
  '%ff',
  '%C3',
  '%C0%AE',
  '%ED%A0%80',
  '{ew:default}',
  '%7Bew:default%7D',
  's:{x}',
  'a+b',
  'a,b',
  'a;b',
  "a'b",
  'a=b',
  'a@b',
  'a%23b',
  'a%3Fb',
  '%5Ba%5D',
  'a*',
  '%2A',
  ':',
  ':a',
  'a:',
  'a::b',
  'a:.',
  'a:..:b',
  'a:%2e%2e',
  'x'.repeat(limits.segmentCharsMax + 1),
  Array(limits.channelSegmentsMax + 1)
    .fill('a')
    .join(':'),
  Array(4).fill('x'.repeat(63)).join(':').concat('x'),
  'x'.repeat(8000),
];

const channelRoutes = [
  ['POST', '/messages'],
  ['GET', '/messages'],
  ['DELETE', '/messages'],
  ['GET', '/messages/a-1-0'],
] as const;

export const names: Row[] = rows(
  { status: 400, code: 'channel_invalid', told: /^Use segments of A-Z a-z 0-9 _ \. ~ - joined by ":"/ },
  channelRoutes.flatMap(([method, rest]) =>
    badNames.map((name): [string, Row['ask']] => [
      `${method} ...${rest} of the channel ${shown(name)}`,
      { method, path: `/v1/channels/${name}${rest}`, ...(method === 'POST' && { headers: json, body: '1' }) },
    ]),
  ),
);

const badIds = [
  'x',
  '0',
  '1-2',
  'a-1',
  'a--1-0',
  '-1-0',
  'a-1-0-0',
  'A-1-0',
  'a_b-1-0',
  'a-1e3-0',
  'a-1.5-0',
  'a-0x1-0',
  'a-%2B1-0',
  'a-1-',
  'a-1-0%0A',
  'a-1-0%20',
  '%00',
  'a-1-0%00',
  '%0D%0A',
  '%E2%80%A8',
  '%D9%A1-%D9%A1-%D9%A1',
  '%ff',
  '%',
  '__proto__',
  '%2A',
  `a-${'1'.repeat(16)}-0`,
  `a-1-${'1'.repeat(11)}`,
  `${'a'.repeat(25)}-1-0`,
  'a'.repeat(8000),
];

export const ids: Row[] = [
  ...rows({ status: 400, code: 'cursor_invalid', told: /^Use the id of a message as it was given/ }, [
    ...badIds.map((id): [string, Row['ask']] => [
      `the message ${shown(id)}`,
      { path: `/v1/channels/shop:1/messages/${id}` },
    ]),
    ...['after', 'before'].flatMap((name) =>
      badIds
        .filter((id) => !/^%(ff)?$/.test(id))
        .map((id): [string, Row['ask']] => [`${name}=${shown(id)}`, history(`?${name}=${id}`)]),
    ),
    ['after=', history('?after=')],
    ['after and before, the second wrong', (w) => history(`?after=${w.ids[0]}&before=x`)],
  ]),
  ...rows({ status: 404, code: 'message_unknown', told: /^No such message is kept/ }, [
    ['a message of a channel that never was', { path: '/v1/channels/shop:never/messages/a-1-0' }],
    ['a message under another epoch', (w) => message(w.ids[0]!.replace(/^[^-]+/, 'stranger00'))],
    ['a message that comes later', (w) => message(w.ids[0]!.replace(/\d+$/, '9999999999'))],
    ['a message of another channel', (w) => message(w.ids[0]!, 'open:1')],
    ['the place before everything', (w) => message(w.ids[0]!.replace(/-.*/, '-0-0'))],
    ['the largest id there can be', (w) => message(w.ids[0]!.replace(/-.*/, `-${'9'.repeat(15)}-${'9'.repeat(10)}`))],
  ]),
  ...rows({ status: 400, code: 'query_invalid', told: /^This route takes no query parameters/ }, [
    ['a message with a query', (w) => ({ path: `${message(w.ids[0]!).path}?limit=1` })],
    ['a purge with a query', { method: 'DELETE', path: '/v1/channels/shop:1/messages?before=a-1-0' }],
  ]),
];

function message(id: string, channel = 'shop:1') {
  return { path: `/v1/channels/${channel}/messages/${id}` };
}

const takes = /^This route takes after, before, since, limit, order\. Remove any other/;

export const queries: Row[] = [
  ...rows(
    { status: 400, code: 'query_invalid', told: /^limit: use a whole number from 1 to 1000/ },
    [
      '0',
      '-1',
      '1001',
      '1.5',
      '1e2',
      '',
      'abc',
      '%201',
      '%2B1',
      '0x10',
      '99999',
      'NaN',
      'Infinity',
      '%EF%BC%91',
      '1%00',
      'null',
    ].map((limit) => [`limit=${limit}`, history(`?limit=${limit}`)]),
  ),
  ...rows(
    { status: 400, code: 'query_invalid', told: /^order: use asc or desc/ },
    ['', 'ASC', 'up', 'asc,desc', '__proto__', 'asc%00', 'asc%0A'].map((order) => [
      `order=${order}`,
      history(`?order=${order}`),
    ]),
  ),
  ...rows(
    { status: 400, code: 'query_invalid', told: /^since: use a duration up to 30d, such as 10m, or an RFC 3339 time/ },
    [
      '',
      'x',
      '31d',
      '721h',
      '-1m',
      '1y',
      '1.5h',
      '1m30s',
      '99999999999s',
      '2026-01-01',
      '2026-13-01T00:00:00Z',
      '2026-01-01T25:00:00Z',
      '2026-01-01T00:00:00',
      '%00',
      '10m%0A',
      'now',
      '__proto__',
    ].map((since) => [`since=${since}`, history(`?since=${since}`)]),
  ),
  ...rows({ status: 400, code: 'query_invalid', told: /^Give after or since, not both/ }, [
    ['after and since', (w) => history(`?after=${w.ids[0]}&since=1m`)],
    ['after and since, both wrong', history('?since=x&after=x')],
  ]),
  ...rows({ status: 400, code: 'query_invalid', told: takes }, [
    ...[
      'foo=1',
      'Limit=1',
      'pattern=*',
      'channel=a',
      'cursor=a-1-0',
      '__proto__=1',
      'constructor=1',
      '%00=1',
      'limit%20=1',
      'after[]=a-1-0',
      'limit%5B%5D=1',
      '=1',
      'token=x',
      '%3Flimit=1',
      `${'a'.repeat(4000)}=1`,
    ].map((query): [string, Row['ask']] => [`the query ${shown(query)}`, history(`?${query}`)]),
  ]),
  ...rows({ status: 400, code: 'query_invalid', told: /^Give each query parameter once/ }, [
    ['limit twice', history('?limit=1&limit=1')],
    ['limit twice, once encoded', history('?limit=1&%6Cimit=2')],
    ['after twice', (w) => history(`?after=${w.ids[0]}&after=${w.ids[1]}`)],
  ]),
  ...rows(
    { status: 400, code: 'query_invalid', told: /^Percent-encode the query string as UTF-8/ },
    ['limit=%', 'limit=%2', 'limit=%zz', 'order=%ff', '%C3=1', 'after=%ED%A0%80', '%'].map((query) => [
      `the query ${query}`,
      history(`?${query}`),
    ]),
  ),
];

const served: [path: string, allow: string, others: string[]][] = [
  [
    '/v1/channels/shop:1/messages',
    'GET, HEAD, POST, DELETE',
    ['PUT', 'PATCH', 'OPTIONS', 'TRACE', 'PROPFIND', 'QUERY', 'PURGE'],
  ],
  ['/v1/channels/shop:1/messages/a-1-0', 'GET, HEAD', ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE']],
  ['/v1/messages', 'POST', ['GET', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE']],
  ['/v1/tokens', 'POST', ['GET', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE']],
  ['/v1/revocations', 'POST', ['GET', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE']],
  ['/openapi.json', 'GET, HEAD', ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE']],
  ['/healthz', 'GET, HEAD', ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE']],
];

export const methods: Row[] = served.flatMap(([path, allow, others]) =>
  others.map(
    (method): Row => ({
      what: `${method} ${path}`,
      ask: { method, path, ...(/^P/.test(method) && { headers: json, body: '1' }) },
      status: 405,
      code: 'method_not_allowed',
      told: new RegExp(`^Use ${allow} here\\.$`),
      headers: { allow },
    }),
  ),
);

export const routes: Row[] = rows(
  { status: 404, code: 'route_unknown', told: /GET \/openapi\.json lists what is/ },
  [
    '/',
    '/?token=x',
    '/v1',
    '/v1/',
    '/v2/messages',
    '/V1/messages',
    '/v1/Messages',
    '/v1/messages//',
    '/v1//messages',
    '//v1/messages',
    '/v1/channels//messages',
    '/v1/channels/shop:1/messages//',
    '/v1/channels/shop:1/messages/a-1-0//',
    '/v1/channels/shop:1/messages/a-1-0/acks',
    '/v1/channels/shop:1%2Fmessages',
    '/v1/channels/a/b/messages',
    '/v1/channels/%2e/messages',
    '/v1/channels/./messages',
    '/v1/stream',
    '/v1/session',
    '/redis',
    '/console',
    '/metrics',
    '/openapi.json//',
    '/healthz/x',
    '/.env',
    '/.git/config',
    '/wp-login.php',
    '/__proto__',
    '/constructor',
    '/*',
    '/%00',
    '/%0D%0ASet-Cookie:%20a=1',
    `/${'a'.repeat(8000)}`,
  ].flatMap((path): [string, Row['ask']][] => [
    [`GET ${shown(path)}`, { path }],
    [`POST ${shown(path)}`, { method: 'POST', path, headers: json, body: '1' }],
  ]),
);

/** What a URL parser on the way has made of `..` is another route, with its own demands. */
export const climbing: Row[] = ['..', '%2e%2e', '.%2E'].flatMap((name) => [
  ...rows({ status: 422, code: 'envelope_invalid', told: /^Send a JSON array/ }, [
    [`the channel ${name} climbs to the batch`, publish({ path: `/v1/channels/${name}/messages` }), { pointers: [''] }],
  ]),
  ...rows({ status: 405, code: 'method_not_allowed', told: /^Use POST here/ }, [
    [`a purge of ${name} climbs to the batch`, { method: 'DELETE', path: `/v1/channels/${name}/messages` }],
  ]),
]);
