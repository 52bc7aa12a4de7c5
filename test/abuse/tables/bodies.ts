import { limits } from '../../../shared/limits.ts';
import { batch, enveloped, publish, type Row, rows, shown, tokens } from './row.ts';

const unsupported = (told: RegExp) => ({ status: 415, code: 'content_type_unsupported', told }) as const;
const typed = (contentType: string) => publish({ headers: { 'Content-Type': contentType }, body: '1' });

export const contentTypes: Row[] = [
  ...rows(
    unsupported(/^Write the Content-Type as type\/subtype/),
    [
      'json',
      '/',
      'text/',
      '/plain',
      'a/b/c',
      'text plain',
      'text/plain, application/json',
      'text/plain;;',
      'text/plain; charset',
      'text/plain; charset=',
      'text/plain; charset=utf-8; charset=utf-8',
      'text/plain; charset="utf-8',
      'application/json; é=1',
      'te\xa0xt/plain',
      `text/${'x'.repeat(251)}`,
    ].map((type) => [`the content type ${shown(type)}`, typed(type)]),
  ),
  ...rows(
    unsupported(/^Encode text as UTF-8 and say charset=utf-8, or nothing/),
    [
      'application/json; charset=latin1',
      'text/plain; charset=iso-8859-1',
      'text/plain;charset="windows-1252"',
      'application/json; CHARSET=UTF-16',
      'application/vnd.edgewire+json; charset=utf-7',
      'application/x-www-form-urlencoded; charset=big5',
    ].map((type) => [`the content type ${type}`, typed(type)]),
  ),
  ...rows(
    unsupported(/^Send the part itself, with its own content type/),
    ['multipart/form-data; boundary=x', 'multipart/mixed', 'MULTIPART/Related; boundary="a b"'].map((type) => [
      `the content type ${type}`,
      typed(type),
    ]),
  ),
  ...rows(
    unsupported(/^CloudEvents are not accepted yet\. Send the data itself/),
    ['application/cloudevents+json', 'application/cloudevents-batch+json; charset=utf-8'].map((type) => [
      `the content type ${type}`,
      typed(type),
    ]),
  ),
  ...rows(
    unsupported(/^Send the body uncompressed, without Content-Encoding/),
    ['gzip', 'GZIP', 'br', 'deflate', 'zstd', 'identity, gzip', 'x', 'gzip, identity'].flatMap(
      (encoding): [string, Row['ask']][] => [
        [`a publish in the encoding ${encoding}`, publish({ headers: { 'Content-Encoding': encoding } })],
        [`a batch in the encoding ${encoding}`, batch('[]', { 'Content-Encoding': encoding })],
        [`a token request in the encoding ${encoding}`, tokens({}, { 'Content-Encoding': encoding })],
      ],
    ),
  ),
  ...rows(
    unsupported(/^Send a batch as application\/json/),
    ['text/plain', 'application/octet-stream', 'application/x-www-form-urlencoded', 'image/png', ''].map((type) => [
      `a batch as ${shown(type)}`,
      batch('[]', { 'Content-Type': type }),
    ]),
  ),
  ...rows(
    unsupported(/^Send the request as application\/json/),
    [
      'text/plain',
      'application/octet-stream',
      'application/vnd.edgewire+json',
      'application/x-www-form-urlencoded',
      '',
    ].map((type) => [`a token request as ${shown(type)}`, tokens({ sub: 'a' }, { 'Content-Type': type })]),
  ),
];

const bytes = (...values: number[]) => new Uint8Array(values);
const notUtf8: [string, Uint8Array][] = [
  ['a byte that UTF-8 never has', bytes(0x22, 0xff, 0x22)],
  ['a truncated character', bytes(0x22, 0xe2, 0x80, 0x22)],
  ['an overlong NUL', bytes(0x22, 0xc0, 0x80, 0x22)],
  ['an encoded surrogate', bytes(0x22, 0xed, 0xa0, 0x80, 0x22)],
  ['a character beyond Unicode', bytes(0x22, 0xf4, 0x90, 0x80, 0x80, 0x22)],
  ['UTF-16 with its mark', bytes(0xff, 0xfe, 0x31, 0x00)],
  ['gzip without saying so', bytes(0x1f, 0x8b, 0x08, 0x00)],
];

const notJson = [
  '{',
  '[',
  '"',
  '{"a":',
  '{"a":1,}',
  '[1,]',
  '{"a":1}x',
  '1 2',
  '{}{}',
  'NaN',
  'Infinity',
  '-Infinity',
  'undefined',
  '-',
  '01',
  '1.',
  '.5',
  '0x10',
  'True',
  "{'a':1}",
  '{a:1}',
  '// 1',
  '1 /* one */',
  '\u0000',
  '1\u0000',
  '"\n"',
  '"\u0001"',
  '"\t"',
  '"\\x41"',
  '"\\u12"',
  '\u00a01',
  '\ufeff\ufeff1',
  'data: 1',
];

const deep = (levels: number, open = '[', close = ']') => open.repeat(levels) + close.repeat(levels);
const lone = ['"\\ud800"', '"\\udc00\\ud800"', '"\\ud800\\ud800"', '"a\\uDFFFb"', '{"\\ud800":1}', '"\\\\\\ud800"'];
const bodyInvalid = (told: RegExp) => ({ status: 400, code: 'body_invalid', told }) as const;
const atEachJsonRoute = (what: string, body: string | Uint8Array): [string, Row['ask']][] => [
  [`${what} as JSON`, publish({ body })],
  [`${what} as an envelope`, publish({ headers: enveloped, body })],
  [`${what} as a batch`, batch(body)],
  [`${what} as a token request`, { ...tokens(''), body }],
];

export const texts: Row[] = [
  ...rows(bodyInvalid(/^Encode the body as UTF-8, or give a binary content type/), [
    ...notUtf8.flatMap(([what, body]) => atEachJsonRoute(what, body)),
    ...notUtf8.map(([what, body]): [string, Row['ask']] => [
      `${what} as text`,
      publish({ headers: { 'Content-Type': 'text/plain' }, body }),
    ]),
    ...notUtf8.map(([what, body]): [string, Row['ask']] => [
      `${what} as a form`,
      publish({ headers: { 'Content-Type': 'application/x-www-form-urlencoded' }, body }),
    ]),
  ]),
  ...rows(
    bodyInvalid(/^The body is empty\. Send one JSON value/),
    ['', ' ', '\n\t\r ', '\ufeff'].flatMap((body) => atEachJsonRoute(shown(body), body)),
  ),
  ...rows(
    bodyInvalid(/^Send one valid JSON value, or the content type that the body has/),
    notJson.flatMap((body) => atEachJsonRoute(shown(body), body)),
  ),
  ...rows(
    bodyInvalid(/^Write \\ud800 to \\udfff in JSON strings only as pairs/),
    lone.flatMap((body) => atEachJsonRoute(body, body)),
  ),
  ...rows(bodyInvalid(/^Nest JSON at most 64 levels deep/), [
    ['65 arrays', publish({ body: deep(65) })],
    ['65 objects', publish({ body: `${'{"a":'.repeat(65)}1${'}'.repeat(65)}` })],
    ['250,000 arrays', publish({ body: deep(100_000) })],
    ['250,000 arrays that never end', publish({ body: '['.repeat(250_000) })],
    ['65 arrays in an envelope', publish({ headers: enveloped, body: `{"data":${deep(65)}}` })],
    ['65 arrays in a batch', batch(`[{"channel":"shop:1","data":${deep(65)}}]`)],
    ['65 arrays in a token request', tokens(`{"sub":"a","channels":${deep(64)}}`)],
    ['a million arrays in a batch', batch('['.repeat(1_000_000))],
  ]),
];

const form = (body: string) => publish({ headers: { 'Content-Type': 'application/x-www-form-urlencoded' }, body });

export const forms: Row[] = [
  ...rows(
    bodyInvalid(/^This is no form\. curl -d sends a form: use curl --json/),
    ['', 'hello', '{"a":1}', '[1]', '"a=b"', ' {"a":"="}', '1'].map((body) => [`the form ${shown(body)}`, form(body)]),
  ),
  ...rows(
    bodyInvalid(/^Percent-encode the form as UTF-8; write "%" itself as %25/),
    ['a=%', 'a=%2', 'a=%zz', 'a=%ff', '%C3=1', 'a=1&b=100%', 'a=%ED%A0%80'].map((body) => [
      `the form ${body}`,
      form(body),
    ]),
  ),
];

const tooLarge = (max: number) =>
  ({ status: 413, code: 'body_too_large', told: new RegExp(`^Send at most ${max} bytes`) }) as const;
const { bodyBytesMax, batchBytesMax, formBytesMax } = limits;
/** A JSON string, an envelope, a batch, a token request of exactly so many bytes. */
export const sized = {
  json: (size: number) => `"${'x'.repeat(size - 2)}"`,
  envelope: (size: number) => `{"data":"${'x'.repeat(size - 11)}"}`,
  form: (size: number) => `a=${'x'.repeat(size - 2)}`,
  text: (size: number) => 'x'.repeat(size),
  batch: (size: number) => {
    const item = (length: number) => `{"channel":"shop:1","data":"${'x'.repeat(length)}"}`;
    const empty = item(0).length;
    const parts = [item(250_000), item(250_000), item(250_000), item(250_000)];
    const used = parts.join().length + 2 + 1 + empty;
    return `[${[...parts, item(size - used)].join()}]`;
  },
  token: (size: number) => `{"sub":"a","channels":["shop:1"]}${' '.repeat(size - 33)}`,
};

export const sizes: Row[] = [
  ...rows(tooLarge(bodyBytesMax), [
    ...[false, true].flatMap((chunked): [string, Row['ask']][] => {
      const how = chunked ? ', in chunks' : '';
      return [
        [`JSON one byte too large${how}`, publish({ body: sized.json(bodyBytesMax + 1), chunked })],
        [
          `text one byte too large${how}`,
          publish({ headers: { 'Content-Type': 'text/plain' }, body: sized.text(bodyBytesMax + 1), chunked }),
        ],
        [
          `text one byte too large, counted in UTF-8${how}`,
          publish({ headers: { 'Content-Type': 'text/plain' }, body: `é${sized.text(bodyBytesMax - 1)}`, chunked }),
        ],
        [
          `bytes one too many${how}`,
          publish({ headers: { 'Content-Type': 'image/png' }, body: new Uint8Array(bodyBytesMax + 1), chunked }),
        ],
        [
          `a form one byte too large${how}`,
          publish({
            headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
            body: sized.form(bodyBytesMax + 1),
            chunked,
          }),
        ],
        [
          `an envelope one byte too large${how}`,
          publish({ headers: enveloped, body: sized.envelope(bodyBytesMax + 1), chunked }),
        ],
        [`three megabytes${how}`, publish({ body: sized.json(3 << 20), chunked })],
      ];
    }),
  ]),
  ...rows(tooLarge(batchBytesMax), [
    ['a batch one byte too large', batch(sized.batch(batchBytesMax + 1))],
    ['a batch one byte too large, in chunks', { ...batch(sized.batch(batchBytesMax + 1)), chunked: true }],
  ]),
  ...rows(tooLarge(formBytesMax), [
    ['a token request one byte too large', tokens(sized.token(formBytesMax + 1))],
    ['a token request one byte too large, in chunks', { ...tokens(sized.token(formBytesMax + 1)), chunked: true }],
  ]),
  ...rows(
    {
      status: 413,
      code: 'body_too_large',
      told: /^Escaped as JSON this text grows too large\. Send it as application\/octet-stream/,
    },
    [
      [
        'text that grows sixfold as JSON',
        publish({ headers: { 'Content-Type': 'text/plain' }, body: '\u0001'.repeat(100_000) }),
      ],
    ],
  ),
];
