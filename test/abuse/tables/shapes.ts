import { limits } from '../../../shared/limits.ts';
import { batch, enveloped, publish, type Row, rows, shown, tokens } from './row.ts';

const invalid = (told: RegExp) => ({ status: 422, code: 'envelope_invalid', told }) as const;
const envelope = (body: string) => publish({ headers: enveloped, body });
type Wrong = [field: string, rule: RegExp, values: string[]];

const fields: Wrong[] = [
  [
    'type',
    /Use 1 to 128 of/,
    ['1', 'null', '""', '"a b"', '"a\\u0000"', '"a\\nb"', '"\\u2028"', '["a"]', '{}', `"${'x'.repeat(129)}"`],
  ],
  ['priority', /Use high, normal or low/, ['1', 'null', '""', '"HIGH"', '[]']],
  ['key', /Use 1 to 128 printable ASCII/, ['1', 'null', '""', '"\\r\\n"', '"é"', '{}', `"${'x'.repeat(129)}"`]],
  ['store', /Use yes or no/, ['0', '1', 'null', '""', '"maybe"', '[]']],
  [
    'ttl',
    /Use a duration from 1s to 30d/,
    ['0', '-1', '0.5', '1e99', 'true', 'null', '""', '"31d"', '"999ms"', '2592001', '[]'],
  ],
  ['source', /Use 1 to 256 printable ASCII/, ['1', 'null', '""', '"\\u0000"', '"\\u2028"', `"${'x'.repeat(257)}"`]],
  [
    'contentType',
    /Use a media type/,
    ['1', 'null', '""', '"json"', '"a/b\\r\\nc: d"', '"text/plain; charset"', `"a/${'x'.repeat(260)}"`],
  ],
  ['replyTo', /Use segments of/, ['1', 'null', '""', '"a b"', '"a*"', '"a:"', '"{ew}"', '"\\u2028"', '["a"]']],
  ['traceparent', /Write traceparent as/, ['1', 'null', '""', '"x"', `"00-${'0'.repeat(32)}-${'b'.repeat(16)}-01"`]],
];

export const envelopes: Row[] = [
  ...fields.flatMap(([field, rule, values]) =>
    values.flatMap((value) => [
      ...rows(invalid(new RegExp(`^Correct the JSON: ${rule.source}.*"errors" says where`)), [
        [
          `an envelope with ${field} ${shown(value)}`,
          envelope(`{"data":1,"${field}":${value}}`),
          { pointers: [`/${field}`] },
        ],
      ]),
    ]),
  ),
  ...rows(invalid(/^Correct the JSON: Use an object of strings/), [
    ...['1', 'null', '"a"', '[]', 'true'].map((value): [string, Row['ask'], Partial<Row>] => [
      `meta ${value}`,
      envelope(`{"data":1,"meta":${value}}`),
      { pointers: ['/meta'] },
    ]),
  ]),
  ...rows(invalid(/^Correct the JSON: Use at most 256 characters, no control characters/), [
    ...['1', 'null', '{}', '"\\u0000"', '"a\\nb"', '"\\u2028"', '"\\u0085"', `"${'x'.repeat(257)}"`].map(
      (value): [string, Row['ask'], Partial<Row>] => [
        `a meta entry ${shown(value)}`,
        envelope(`{"data":1,"meta":{"a":${value}}}`),
        { pointers: ['/meta/a'] },
      ],
    ),
  ]),
  ...rows(invalid(/^Correct the JSON: Name meta entries with 1 to 64/), [
    ['a meta entry named A', envelope('{"data":1,"meta":{"A":"x"}}'), { pointers: ['/meta/A'] }],
    ['a meta entry without a name', envelope('{"data":1,"meta":{"":"x"}}'), { pointers: ['/meta/'] }],
    ['a meta entry named a/b~c', envelope('{"data":1,"meta":{"a/b~c":"x"}}'), { pointers: ['/meta/a~1b~0c'] }],
    ['a meta entry named __proto__', envelope('{"data":1,"meta":{"__proto__":"x"}}'), { pointers: ['/meta'] }],
  ]),
  ...rows(invalid(/^Correct the JSON: Give at most 16 meta entries/), [
    [
      '17 meta entries',
      envelope(
        JSON.stringify({ data: 1, meta: Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`m${i}`, ''])) }),
      ),
      { pointers: ['/meta'] },
    ],
  ]),
  ...rows(invalid(/^Correct the JSON: This field is unknown\. Use data, type,/), [
    ...[
      ['Data', '/Data'],
      ['channel', '/channel'],
      ['id', '/id'],
      ['timestamp', '/timestamp'],
      ['expires', '/expires'],
      ['$base64', '/$base64'],
      ['a/b~c', '/a~1b~0c'],
      ['', '/'],
      ['constructor', '/constructor'],
      ['__proto__', '/__proto__'],
    ].map(([name, pointer]): [string, Row['ask'], Partial<Row>] => [
      `the unknown field ${shown(name!)}`,
      envelope(`{"data":1,"${name}":1}`),
      { pointers: [pointer!] },
    ]),
    ['two unknown fields', envelope('{"data":1,"x":1,"y":1}'), { pointers: ['/x', '/y'] }],
    [
      'an unknown field with a name of 5,000 characters',
      envelope(`{"data":1,"${'n'.repeat(5000)}":1}`),
      { pointers: [`/${'n'.repeat(64)}`] },
    ],
  ]),
  ...rows(invalid(/^Correct the JSON: This field is required/), [
    ['no data', envelope('{}'), { pointers: ['/data'] }],
    ['no data, but a type', envelope('{"type":"a"}'), { pointers: ['/data'] }],
  ]),
  ...rows(invalid(/^Correct the JSON: Use a JSON object/), [
    ...['1', 'null', '"a"', '[]', '[{"data":1}]', 'true'].map((body): [string, Row['ask'], Partial<Row>] => [
      `the envelope ${body}`,
      envelope(body),
      { pointers: [''] },
    ]),
  ]),
  ...rows(invalid(/^Correct the JSON: /), [
    [
      'several faults, each named',
      envelope('{"data":1,"type":1,"ttl":-1,"x":1}'),
      { pointers: ['/type', '/ttl', '/x'] },
    ],
  ]),
];

const items = (count: number) => `[${Array(count).fill('{"channel":"shop:1","data":1}').join()}]`;

export const batches: Row[] = rows(invalid(/^Send a JSON array of 1 to 1000 envelopes/), [
  ...['[]', '{}', 'null', '1', '"[]"', '{"channel":"shop:1","data":1}', '{"messages":[]}', '{"length":1,"0":{}}'].map(
    (body): [string, Row['ask'], Partial<Row>] => [`the batch ${body}`, batch(body), { pointers: [''] }],
  ),
  ['a batch of 1,001', batch(items(limits.batchMessagesMax + 1)), { pointers: [''] }],
  ['a batch of 300,000', batch(`[${Array(300_000).fill('1').join()}]`), { pointers: [''] }],
]);

const asked = { sub: 'ada', channels: ['shop:1'] };
const many = (name: (i: number) => string) => Array.from({ length: limits.tokenNamesMax + 1 }, (_, i) => name(i));
const notArray = [1, 'shop:1', null, { 0: 'shop:1', length: 1 }, true];

export const tokenRequests: Row[] = [
  ...rows(invalid(/^Correct the JSON: Name the subject in 1 to 256 printable characters/), [
    ...[1, null, '', [], {}, 'a\nb', 'a\u0000', 'a\u2028b', 'a\u0085', 'x'.repeat(257)].map(
      (sub): [string, Row['ask'], Partial<Row>] => [
        `the subject ${shown(JSON.stringify(sub))}`,
        tokens({ ...asked, sub }),
        { pointers: ['/sub'] },
      ],
    ),
    ['no subject', tokens({ channels: ['shop:1'] }), { pointers: ['/sub'] }],
  ]),
  ...rows(invalid(/^Correct the JSON: Use an array of at most 100 names/), [
    ...(['channels', 'patterns', 'publish'] as const).flatMap((field) =>
      [...notArray, many((i) => `shop:${i}`)].map((value): [string, Row['ask'], Partial<Row>] => [
        `${field} ${shown(JSON.stringify(value))}`,
        tokens({ ...asked, [field]: value }),
        { pointers: [`/${field}`] },
      ]),
    ),
  ]),
  ...rows(invalid(/^Correct the JSON: Use segments of/), [
    ...[1, null, '', 'a b', 'shop:*', '{ew}', 'a\u2028', '\ud83d\ude00', 'a:', 'x'.repeat(65)].map(
      (name): [string, Row['ask'], Partial<Row>] => [
        `the channel ${shown(JSON.stringify(name))}`,
        tokens({ ...asked, channels: ['shop:1', name] }),
        { pointers: ['/channels/1'] },
      ],
    ),
  ]),
  ...rows(invalid(/^Correct the JSON: A pattern is a channel in which/), [
    ...(['patterns', 'publish'] as const).flatMap((field) =>
      [1, null, '', 'a?', 'a[b]', 'a**:**', '*:*:*:*', 'a b', '\u0000', '{ew}'].map(
        (name): [string, Row['ask'], Partial<Row>] => [
          `${field} with ${shown(JSON.stringify(name))}`,
          tokens({ ...asked, [field]: [name] }),
          { pointers: [`/${field}/0`] },
        ],
      ),
    ),
  ]),
  ...rows(invalid(/^Correct the JSON: Use a duration from 1s to 1h/), [
    ...[0, -1, 3601, 0.5, null, true, '', '2h', '61m', '999ms', 'abc', [60]].map(
      (ttl): [string, Row['ask'], Partial<Row>] => [
        `the ttl ${JSON.stringify(ttl)}`,
        tokens({ ...asked, ttl }),
        { pointers: ['/ttl'] },
      ],
    ),
  ]),
  ...rows(invalid(/^Correct the JSON: This field is unknown\. Use sub, channels, patterns, publish or ttl/), [
    ...['exp', 'iss', 'aud', 'jti', 'nbf', 'scope', 'roles', 'kid', 'alg', 'constructor'].map(
      (field): [string, Row['ask'], Partial<Row>] => [
        `the claim ${field}`,
        tokens({ ...asked, [field]: 1 }),
        { pointers: [`/${field}`] },
      ],
    ),
    [
      'the claim __proto__',
      tokens('{"sub":"ada","channels":["shop:1"],"__proto__":{"channels":["*"]}}'),
      { pointers: ['/__proto__'] },
    ],
  ]),
  ...rows(invalid(/^Correct the JSON: Ask for at least one of channels, patterns and publish/), [
    ['a token for nothing', tokens({ sub: 'ada' }), { pointers: [''] }],
    [
      'a token for nothing, at length',
      tokens({ sub: 'ada', channels: [], patterns: [], publish: [] }),
      { pointers: [''] },
    ],
  ]),
  ...rows(invalid(/^Correct the JSON: Use a JSON object/), [
    ...['1', 'null', '"a"', '[]', 'true'].map((body): [string, Row['ask'], Partial<Row>] => [
      `the token request ${body}`,
      tokens(body),
      { pointers: [''] },
    ]),
  ]),
  ...rows(invalid(/^The token would grow too long to be sent\. Ask for fewer names, or for patterns/), [
    [
      'a token of 100 long names',
      tokens({ sub: 'ada', channels: many((i) => `shop:${i}:${'x'.repeat(60)}:${'y'.repeat(60)}`).slice(1) }),
      { pointers: [''] },
    ],
  ]),
];
