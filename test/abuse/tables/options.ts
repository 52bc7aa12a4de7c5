import { limits } from '../../../shared/limits.ts';
import { batch, enveloped, publish, type Row, rows, shown, tokens } from './row.ts';

const wrongValues: Record<string, { rule: RegExp; values: string[]; query?: string[] }> = {
  Type: {
    rule: /Use 1 to 128 of A-Z a-z 0-9 _ \. ~ : \/ -/,
    values: ['', 'a b', 'a,b', 'a, b', '<b>', "a'b", 'x'.repeat(limits.typeCharsMax + 1)],
    query: ['a%09b', '%00', '%0A', '%0D%0Aevent:%20x', '%E2%80%A8', '%C3%A9', '%F0%9F%98%80'],
  },
  Priority: {
    rule: /Use high, normal or low/,
    values: ['', 'HIGH', 'urgent', '1', 'high, high', '__proto__'],
    query: ['high%00', '%0A'],
  },
  Store: { rule: /Use yes or no/, values: ['', '0', '1', 'maybe', 'NO', 'yes, no', 'null'], query: ['no%0A', '%00'] },
  Ttl: {
    rule: /Use a duration from 1s to 30d/,
    values: [
      '',
      '0',
      '0s',
      '999ms',
      '31d',
      '721h',
      '-1',
      '1e3',
      '1.5h',
      'abc',
      '1y',
      '10 m',
      '99999999999',
      'Infinity',
      '1m, 1m',
    ],
    query: ['1m%0A', '%00', '%D9%A1m'],
  },
  Key: {
    rule: /Use 1 to 128 printable ASCII characters/,
    values: ['', '%00', '%0A', '%0D%0A', '%E2%80%A8', '%C3%A9', '%7F', 'x'.repeat(limits.orderingKeyCharsMax + 1)],
  },
  Source: {
    rule: /Use 1 to 256 printable ASCII characters/,
    values: ['', '%00', '%0A', '%0D%0A', '%E2%80%A8', '%C3%BC', '%1B%5B31m', 'x'.repeat(limits.sourceCharsMax + 1)],
  },
  'Meta-a': {
    rule: /Use at most 256 characters, no control characters or line separators/,
    values: [
      '%00',
      '%0A',
      '%0D%0A',
      '%E2%80%A8',
      '%E2%80%A9',
      '%C2%85',
      '%7F',
      '%1B',
      'x'.repeat(limits.metaValueCharsMax + 1),
    ],
  },
};

const values: Row[] = Object.entries(wrongValues).flatMap(([name, { rule, values, query = [] }]) => [
  ...rows(
    { status: 400, code: 'header_invalid', told: new RegExp(`^Edgewire-${name}: ${rule.source}`) },
    values.map((value) => [`Edgewire-${name}: ${shown(value)}`, publish({ headers: { [`Edgewire-${name}`]: value } })]),
  ),
  ...rows(
    { status: 400, code: 'query_invalid', told: new RegExp(`^Query parameter ${name.toLowerCase()}: ${rule.source}`) },
    [...values.map(encoded), ...query].map((value) => [
      `?${name.toLowerCase()}=${shown(value)}`,
      publish({ path: `/v1/channels/shop:1/messages?${name.toLowerCase()}=${value}` }),
    ]),
  ),
]);

function encoded(value: string): string {
  return value.replaceAll(/[\s<>+]/g, encodeURIComponent);
}

const notAscii = ['a\tb', '\xe9', 'a\xffb', 'a\u0080b'];
const metaRule = /Name meta entries with 1 to 64 of a-z 0-9 _ \. - \(but not __proto__\)/;
const listed = /^Edgewire-\* headers are Edgewire-Type, .*Edgewire-Meta-<name>\. Remove any other/;
const seventeen = Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`Edgewire-Meta-${i}`, 'x']));

const names: Row[] = [
  ...rows({ status: 400, code: 'header_invalid', told: listed }, [
    ...[
      'Edgewire-Foo',
      'Edgewire-Types',
      'Edgewire-',
      'Edgewire-Meta',
      'Edgewire-Request-Id',
      'Edgewire-__proto__',
      'Edgewire-constructor',
      'Edgewire-toString',
      'edgewire-channel',
    ].map((name): [string, Row['ask']] => [`the header ${name}`, publish({ headers: { [name]: 'x' } })]),
  ]),
  ...rows({ status: 400, code: 'header_invalid', told: new RegExp(`^Edgewire-Meta-\\*: ${metaRule.source}`) }, [
    ...[
      'Edgewire-Meta-',
      'Edgewire-Meta-__proto__',
      "Edgewire-Meta-a'b",
      'Edgewire-Meta-a!',
      `Edgewire-Meta-${'x'.repeat(65)}`,
    ].map((name): [string, Row['ask']] => [`the header ${shown(name)}`, publish({ headers: { [name]: 'x' } })]),
  ]),
  ...rows(
    {
      status: 400,
      code: 'header_invalid',
      told: /^Edgewire-(Meta-a|Key|Source): percent-encode UTF-8; write "%" itself as %25/,
    },
    [
      ...['Edgewire-Meta-a', 'Edgewire-Key', 'Edgewire-Source'].flatMap((name) =>
        ['%', '100%', '%zz', '%ff', '%C3', '%ED%A0%80'].map((value): [string, Row['ask']] => [
          `${name}: ${value}`,
          publish({ headers: { [name]: value } }),
        ]),
      ),
    ],
  ),
  ...rows(
    {
      status: 400,
      code: 'header_invalid',
      told: /^Percent-encode anything but printable ASCII in headers, as UTF-8: %C3%BC/,
    },
    [
      ...['Type', 'Priority', 'Store', 'Ttl', 'Key', 'Source', 'Meta-a'].flatMap((name) =>
        notAscii.map((value): [string, Row['ask']] => [
          `Edgewire-${name}: ${shown(value)}`,
          publish({ headers: { [`Edgewire-${name}`]: value } }),
        ]),
      ),
      ['U+2028 as raw UTF-8 in a header', publish({ headers: { 'Edgewire-Key': 'a\u2028b' } }), { raw: true }],
      ['DEL in a header', publish({ headers: { 'Edgewire-Key': 'a\x7fb' } }), { raw: true }],
      ['an escape sequence in a header', publish({ headers: { 'Edgewire-Source': '\x1b[31m' } }), { raw: true }],
    ],
  ),
  ...rows({ status: 400, code: 'header_invalid', told: /^Give at most 16 meta entries/ }, [
    ['17 meta headers', publish({ headers: seventeen })],
    [
      '16 meta headers and one in the query',
      publish({
        path: '/v1/channels/shop:1/messages?meta-z=1',
        headers: Object.fromEntries(Object.entries(seventeen).slice(1)),
      }),
    ],
    [
      '17 meta entries, 16 of them in the envelope',
      publish({
        headers: { ...enveloped, 'Edgewire-Meta-z': '1' },
        body: JSON.stringify({
          data: 1,
          meta: Object.fromEntries(Array.from({ length: 16 }, (_, i) => [`m${i}`, 'x'])),
        }),
      }),
    ],
  ]),
  ...rows({ status: 400, code: 'query_invalid', told: new RegExp(`^Query parameter meta-\\*: ${metaRule.source}`) }, [
    ...['meta-', 'meta-__proto__', 'meta-A', 'meta-%00', 'meta-a%20b', 'meta-%C3%A9', `meta-${'x'.repeat(65)}`].map(
      (name): [string, Row['ask']] => [
        `?${shown(name)}=1`,
        publish({ path: `/v1/channels/shop:1/messages?${name}=1` }),
      ],
    ),
  ]),
  ...rows(
    {
      status: 400,
      code: 'query_invalid',
      told: /^This route takes type, priority, key, store, ttl, source, meta-\*\. Remove any other/,
    },
    [
      ...[
        'foo',
        'Type',
        'TYPE',
        'retain',
        'token',
        'channel',
        '__proto__',
        'constructor',
        'meta',
        '%00',
        'type%20',
        'idempotency-key',
      ].map((name): [string, Row['ask']] => [
        `?${name}=1`,
        publish({ path: `/v1/channels/shop:1/messages?${name}=1` }),
      ]),
    ],
  ),
  ...rows({ status: 400, code: 'query_invalid', told: /^Give each query parameter once/ }, [
    ['?type=a&type=a', publish({ path: '/v1/channels/shop:1/messages?type=a&type=a' })],
    ['?meta-a=1&meta-a=2', publish({ path: '/v1/channels/shop:1/messages?meta-a=1&meta-a=2' })],
  ]),
  ...rows(
    {
      status: 400,
      code: 'query_invalid',
      told: /^(type|ttl|meta-a) is given twice with different values\. Give it once/,
    },
    [
      [
        'a type in header and query, different',
        publish({ path: '/v1/channels/shop:1/messages?type=a', headers: { 'Edgewire-Type': 'b' } }),
      ],
      [
        'a ttl in header and query, different',
        publish({ path: '/v1/channels/shop:1/messages?ttl=1m', headers: { 'Edgewire-Ttl': '61s' } }),
      ],
      [
        'a meta entry in header and query, different',
        publish({ path: '/v1/channels/shop:1/messages?meta-a=1', headers: { 'Edgewire-Meta-A': '2' } }),
      ],
    ],
  ),
  ...rows(
    {
      status: 400,
      code: 'header_invalid',
      told: /^(type|store|meta-a) is given twice with different values\. Give it once/,
    },
    [
      [
        'a type in envelope and header, different',
        publish({ headers: { ...enveloped, 'Edgewire-Type': 'b' }, body: '{"data":1,"type":"a"}' }),
      ],
      [
        'a type in envelope and query, different',
        publish({ path: '/v1/channels/shop:1/messages?type=b', headers: enveloped, body: '{"data":1,"type":"a"}' }),
      ],
      [
        'store in envelope and header, different',
        publish({ headers: { ...enveloped, 'Edgewire-Store': 'no' }, body: '{"data":1,"store":true}' }),
      ],
      [
        'a meta entry in envelope and header, different',
        publish({ headers: { ...enveloped, 'Edgewire-Meta-a': 'b' }, body: '{"data":1,"meta":{"a":"a"}}' }),
      ],
    ],
  ),
  ...rows(
    {
      status: 400,
      code: 'header_invalid',
      told: /^Say options inside each message; this route takes no Edgewire-\* headers/,
    },
    [
      ...['Edgewire-Type', 'Edgewire-Store', 'Edgewire-Meta-a', 'Edgewire-Foo'].flatMap(
        (name): [string, Row['ask']][] => [
          [`a batch with ${name}`, batch('[{"channel":"shop:1","data":1}]', { [name]: 'x' })],
          [`a token request with ${name}`, tokens({ sub: 'a', channels: ['shop:1'] }, { [name]: 'x' })],
        ],
      ),
    ],
  ),
  ...rows({ status: 400, code: 'query_invalid', told: /^This route takes no query parameters/ }, [
    ['a batch with a query', { ...batch('[{"channel":"shop:1","data":1}]'), path: '/v1/messages?store=no' }],
    ['a token request with a query', { ...tokens({ sub: 'a', channels: ['shop:1'] }), path: '/v1/tokens?ttl=1h' }],
  ]),
];

const zeros = (count: number) => '0'.repeat(count);
const badTraces = [
  '',
  'x',
  '00',
  `00-${'a'.repeat(32)}-${'b'.repeat(16)}`,
  `00-${zeros(32)}-${'b'.repeat(16)}-01`,
  `00-${'a'.repeat(32)}-${zeros(16)}-01`,
  `ff-${'a'.repeat(32)}-${'b'.repeat(16)}-01`,
  `00-${'A'.repeat(32)}-${'b'.repeat(16)}-01`,
  `00-${'a'.repeat(31)}-${'b'.repeat(16)}-01`,
  `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01-x`,
  'x'.repeat(5000),
];

const traces: Row[] = rows(
  { status: 400, code: 'header_invalid', told: /^Write traceparent as W3C Trace Context has it/ },
  badTraces.flatMap((traceparent): [string, Row['ask']][] => [
    [`a publish with traceparent ${shown(traceparent)}`, publish({ headers: { traceparent } })],
    [`a batch with traceparent ${shown(traceparent)}`, batch('[{"channel":"shop:1","data":1}]', { traceparent })],
  ]),
);

const badKeys = [
  '',
  '""',
  '"',
  '"abc',
  '"a"b"',
  '"a\\b"',
  'a\tb',
  '\xe9',
  '"\xe9"',
  'x'.repeat(limits.idempotencyKeyCharsMax + 1),
  `"${'x'.repeat(limits.idempotencyKeyCharsMax + 1)}"`,
];

const idempotencyKeys: Row[] = rows(
  {
    status: 400,
    code: 'header_invalid',
    told: /^Idempotency-Key: use 1 to 255 printable ASCII characters, best a fresh UUID/,
  },
  badKeys.flatMap((key): [string, Row['ask']][] => [
    [`a publish with Idempotency-Key ${shown(key)}`, publish({ headers: { 'Idempotency-Key': key } })],
    [
      `a batch with Idempotency-Key ${shown(key)}`,
      batch('[{"channel":"shop:1","data":1}]', { 'Idempotency-Key': key }),
    ],
  ]),
);

export const options: Row[] = [...values, ...names, ...traces, ...idempotencyKeys];
