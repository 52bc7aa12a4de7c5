import type { Action } from '../../../shared/grant.ts';
import type { Asked } from '../http.ts';
import { origin, type World } from '../world.ts';
import { credentials, headers } from './credentials.ts';
import { batch, history, publish, type Row, rows, tokens } from './row.ts';

const routes: [name: string, ask: (world: World) => Asked][] = [
  ['a publish', () => publish()],
  ['a history', () => history('')],
  ['a message', (w) => ({ path: `/v1/channels/shop:1/messages/${w.ids[0]}` })],
  ['a purge', () => ({ method: 'DELETE', path: '/v1/channels/shop:1/messages' })],
  ['a batch', () => batch('[{"channel":"shop:1","data":1}]')],
  ['a token request', () => tokens({ sub: 'ada', channels: ['shop:1'] })],
  // What everyone may read: a credential that is presented and wrong is never taken for none.
  ['a history that is open to everyone', () => history('', 'open:1')],
];

/** The request with this Authorization; '' is none. */
function as(authorization: string, { headers, ...asked }: Asked): Asked {
  return { ...asked, headers: { ...headers, Authorization: authorization } };
}

const refused = {
  status: 401,
  code: 'credential_invalid',
  told: /^Send a key or a token that is valid, unexpired and meant for this deployment/,
  headers: { 'www-authenticate': 'Bearer realm="edgewire", error="invalid_token"' },
} as const;

export const authentication: Row[] = [
  ...credentials.flatMap(([what, authorization], index) =>
    // Each at a publish and, in turn, at one of the others: it is one check.
    [routes[0]!, routes[1 + (index % (routes.length - 1))]!].map(
      ([name, ask]): Row => ({
        what: `${name} with ${what}`,
        ask: (w) => as(authorization(w), ask(w)),
        ...refused,
      }),
    ),
  ),
  ...routes.flatMap(([name, ask]) =>
    headers.map(
      ([what, authorization]): Row => ({
        what: `${name} with the Authorization ${what}`,
        ask: (w) => as(authorization(w), ask(w)),
        status: 401,
        code: 'credential_invalid',
        told: /^Write the header as Authorization: Bearer <key or token>/,
        headers: { 'www-authenticate': 'Bearer realm="edgewire", error="invalid_request"' },
      }),
    ),
  ),
  ...routes.flatMap(([name, ask]) =>
    ['edge.example', 'localhost.example', '127.0.0.1.example', '10.0.0.1', '0.0.0.0', '[::2]', 'xn--localhost-x'].map(
      (host): Row => ({
        what: `${name} with a development key towards ${host}`,
        ask: (w) => as(`Bearer ${w.keys.dev}`, { ...ask(w), headers: { ...ask(w).headers, Host: host } }),
        ...refused,
      }),
    ),
  ),
  ...['/v1/nothing', '/v1/tokens/x'].map(
    (path): Row => ({
      what: `a wrong key at ${path}`,
      ask: { path, headers: { Authorization: 'Bearer garbage' } },
      ...refused,
    }),
  ),
];

const missing = (action: Action, channel = 'shop:1') =>
  ({
    status: 401,
    code: 'credential_missing',
    told: new RegExp(`^To ${action} ${channel}, send a key or token: Authorization: Bearer <...>`),
    headers: { 'www-authenticate': 'Bearer realm="edgewire"' },
  }) as const;
const nobody = (asked: Asked): Asked => as('', asked);

export const anonymity: Row[] = [
  { what: 'a publish by nobody', ask: nobody(publish()), ...missing('publish') },
  {
    what: 'a publish by nobody to what is open for reading',
    ask: nobody(publish({ path: '/v1/channels/open:1/messages' })),
    ...missing('publish', 'open:1'),
  },
  { what: 'a history for nobody', ask: nobody(history('')), ...missing('read') },
  {
    what: 'a history for nobody of a channel with an open beginning',
    ask: nobody(history('', 'open')),
    ...missing('read', 'open'),
  },
  {
    what: 'a message for nobody',
    ask: (w) => nobody({ path: `/v1/channels/shop:1/messages/${w.ids[0]}` }),
    ...missing('read'),
  },
  {
    what: 'a purge by nobody',
    ask: nobody({ method: 'DELETE', path: '/v1/channels/shop:1/messages' }),
    ...missing('admin'),
  },
  {
    what: 'a purge by nobody of what is open for reading',
    ask: nobody({ method: 'DELETE', path: '/v1/channels/open:1/messages' }),
    ...missing('admin', 'open:1'),
  },
  {
    what: 'a publish with the key in a cookie',
    ask: (w) => nobody(publish({ headers: { Cookie: `__Host-edgewire=${w.keys.root}` } })),
    ...missing('publish'),
  },
  {
    what: 'a publish with the key in X-Api-Key',
    ask: (w) => nobody(publish({ headers: { 'X-Api-Key': w.keys.root } })),
    ...missing('publish'),
  },
  ...[tokens({ sub: 'ada', channels: ['open:1'] }), batch('[{"channel":"open:1","data":1}]')].map(
    (ask): Row => ({
      what: `${ask.path} by nobody`,
      ask: nobody(ask),
      status: 401,
      code: 'credential_missing',
      told: /^Send a key or token: Authorization: Bearer <...>/,
      headers: { 'www-authenticate': 'Bearer realm="edgewire"' },
    }),
  ),
];

const lacks = (kind: 'key' | 'token', action: Action, names: string) =>
  ({
    status: 403,
    code: 'not_granted',
    told: new RegExp(`^This ${kind} may not ${action} ${names}\\. Use one whose scopes cover it\\.$`),
  }) as const;
const by = (key: keyof World['keys'], ask: Asked) => (w: World) => as(`Bearer ${w.keys[key]}`, ask);
const byToken = (claims: object, ask: Asked) => (w: World) => as(`Bearer ${w.token(claims)}`, ask);

export const grants: Row[] = [
  { what: 'a reader that publishes', ask: by('reader', publish()), ...lacks('key', 'publish', 'shop:1') },
  { what: 'a publisher that reads', ask: by('publisher', history('')), ...lacks('key', 'read', 'shop:1') },
  {
    what: 'a publisher that purges',
    ask: by('publisher', { method: 'DELETE', path: '/v1/channels/shop:1/messages' }),
    ...lacks('key', 'admin', 'shop:1'),
  },
  {
    what: 'a reader that purges',
    ask: by('reader', { method: 'DELETE', path: '/v1/channels/shop:1/messages' }),
    ...lacks('key', 'admin', 'shop:1'),
  },
  ...['other', 'shop', 'shopping:1', 'Shop:1', 'plain:1', 'a:shop:1'].map(
    (channel): Row => ({
      what: `a publisher beyond its patterns, to ${channel}`,
      ask: by('publisher', publish({ path: `/v1/channels/${channel}/messages` })),
      ...lacks('key', 'publish', channel),
    }),
  ),
  {
    what: 'a key that reads what is open to everyone but not to it',
    ask: by('publisher', history('', 'open:1')),
    ...lacks('key', 'read', 'open:1'),
  },
  {
    what: 'a token that reads another channel',
    ask: byToken({}, history('', 'shop:2')),
    ...lacks('token', 'read', 'shop:2'),
  },
  {
    what: 'a token that publishes where it only reads',
    ask: byToken({}, publish()),
    ...lacks('token', 'publish', 'shop:1'),
  },
  {
    what: 'a token that reads where it only publishes',
    ask: byToken({ channels: [], publish: ['shop:*'] }, history('')),
    ...lacks('token', 'read', 'shop:1'),
  },
  {
    what: 'a token that purges',
    ask: byToken({ patterns: ['*'], publish: ['*'] }, { method: 'DELETE', path: '/v1/channels/shop:1/messages' }),
    ...lacks('token', 'admin', 'shop:1'),
  },
  {
    what: 'a token with claims that are not ours',
    ask: byToken({ scope: 'admin', admin: true, scopes: [{ actions: ['publish'], patterns: ['*'] }] }, publish()),
    ...lacks('token', 'publish', 'shop:1'),
  },
  ...rows({ status: 403, code: 'not_granted', told: /^A token may not mint tokens\. Use an API key/ }, [
    ['a token that mints', byToken({ patterns: ['*'], publish: ['*'] }, tokens({ sub: 'ada', channels: ['shop:1'] }))],
  ]),
  ...(
    [
      [
        by('publisher', tokens({ sub: 'a', publish: ['shop:1'] })),
        'a key that may not mint',
        lacks('key', 'mint', 'shop:1'),
      ],
      [
        by('reader', tokens({ sub: 'a', channels: ['shop:1'] })),
        'a reader that may not mint',
        lacks('key', 'mint', 'shop:1'),
      ],
      [
        by('minter', tokens({ sub: 'a', channels: ['shop:1', 'secret'] })),
        'one name beyond',
        lacks('key', 'mint', 'secret'),
      ],
      [by('minter', tokens({ sub: 'a', patterns: ['*'] })), 'everything', lacks('key', 'mint', '\\*')],
      [by('minter', tokens({ sub: 'a', patterns: ['shop*'] })), 'a wider pattern', lacks('key', 'mint', 'shop\\*')],
      [by('minter', tokens({ sub: 'a', patterns: ['*:1'] })), 'a crossing pattern', lacks('key', 'mint', '\\*:1')],
      [
        by('minter', tokens({ sub: 'a', channels: ['other:1'] })),
        'what may be minted but not read',
        lacks('key', 'read', 'other:1'),
      ],
      [
        by('minter', tokens({ sub: 'a', patterns: ['other:*'] })),
        'a pattern that may be minted but not read',
        lacks('key', 'read', 'other:\\*'),
      ],
      [
        by('minter', tokens({ sub: 'a', publish: ['shop:2'] })),
        'what may be minted but not published',
        lacks('key', 'publish', 'shop:2'),
      ],
      [
        by('minter', tokens({ sub: 'a', publish: ['shop:*'] })),
        'a pattern that may be minted but not published whole',
        lacks('key', 'publish', 'shop:\\*'),
      ],
      [
        by('minter', tokens({ sub: 'a', channels: Array.from({ length: 9 }, (_, i) => `x:${i}`) })),
        'nine names beyond',
        lacks('key', 'mint', 'x:0, x:1, x:2, x:3, x:4 and 4 more'),
      ],
    ] as const
  ).map(([ask, what, answer]): Row => ({ what: `a token for ${what}`, ask, ...answer })),
];

const originRefused = {
  status: 403,
  code: 'origin_refused',
  told: /^Pages of this origin may not call\. Add the origin to ALLOWED_ORIGINS/,
} as const;
const noCors = { 'access-control-allow-origin': undefined, 'access-control-allow-methods': undefined };
const foreign = [
  'https://evil.example',
  'null',
  `${origin}.evil.example`,
  `${origin}:444`,
  'http://app.example',
  'https://APP.example',
  `${origin}/`,
  'https://evil.example/https://app.example',
  '*',
  'file://',
  ' '.concat('x'),
];
const corsOf = (value: string) => ({ 'access-control-allow-origin': value, vary: 'Origin' });

export const origins: Row[] = [
  ...foreign.flatMap((from): Row[] =>
    ['/v1/channels/shop:1/messages', '/v1/messages', '/v1/tokens', '/healthz', '/nothing'].map((path) => ({
      what: `a preflight of ${path} from ${from}`,
      ask: {
        method: 'OPTIONS',
        path,
        headers: { Authorization: '', Origin: from, 'Access-Control-Request-Method': 'POST' },
      },
      ...originRefused,
      headers: noCors,
    })),
  ),
  ...foreign.map(
    (from): Row => ({
      what: `a refusal for a page of ${from} cannot be read by it`,
      ask: { path: '/v1/channels/shop:1/messages', headers: { Authorization: '', Origin: from } },
      ...missing('read'),
      headers: { ...noCors, 'access-control-expose-headers': undefined },
    }),
  ),
  {
    what: 'OPTIONS of an allowed origin that is no preflight',
    ask: { method: 'OPTIONS', path: '/v1/messages', headers: { Origin: origin } },
    status: 405,
    code: 'method_not_allowed',
    told: /^Use POST here/,
    headers: { ...corsOf(origin), allow: 'POST' },
  },
  ...(
    [
      [history(''), missing('read')],
      [
        publish({ path: '/v1/channels/a%20b/messages' }),
        { status: 400, code: 'channel_invalid', told: /^Use segments/ },
      ],
      [{ path: '/nothing' }, { status: 404, code: 'route_unknown', told: /openapi/ }],
    ] as const
  ).map(
    ([ask, answer]): Row => ({
      what: `a refusal ${answer.code} can be read by a page of an allowed origin`,
      ask: nobody({ ...ask, headers: { ...('headers' in ask && ask.headers), Origin: origin } }),
      ...answer,
      headers: {
        ...corsOf(origin),
        'access-control-expose-headers':
          'Location, Retry-After, Idempotent-Replayed, RateLimit, RateLimit-Policy, Edgewire-Request-Id',
        'access-control-allow-credentials': undefined,
      },
    }),
  ),
];
