import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bodyKindOf, dataOf, readBody } from '../../edge/body.ts';
import type { EdgeContext } from '../../edge/context.ts';
import { fitting, givenIn } from '../../edge/envelope.ts';
import { gapOn } from '../../edge/gap.ts';
import { decodeUtf8, elementsOf, memberOf, oneLine, parseJson } from '../../edge/json.ts';
import { parseMediaType } from '../../edge/media.ts';
import { openapi } from '../../edge/openapi/document.ts';
import { merged, readOptions } from '../../edge/options.ts';
import { parsePairs } from '../../edge/query.ts';
import { envelope, metaValue, traceparent } from '../../edge/schema.ts';
import type { Channel } from '../../shared/channel.ts';
import { Refusal } from '../../shared/errors.ts';
import { limits } from '../../shared/limits.ts';
import type { HistoryReply } from '../../shared/scripts/history.ts';

const utf8 = (text: string) => new TextEncoder().encode(text);

/** The code with which `run` refuses, or what it gives. */
function outcome<T>(run: () => T): T | string {
  try {
    return run();
  } catch (error) {
    if (error instanceof Refusal) return error.code;
    throw error;
  }
}

describe('the text of JSON', () => {
  it('keeps numbers that no double holds, repeated names and spaces, but no line break', () => {
    const text = '{"n": 12345678901234567890,\r\n "x":1.0,\n"x":1e400}';
    expect(dataOf('json', utf8(text))).toBe('{"n": 12345678901234567890, "x":1.0,"x":1e400}');
  });

  it('on one line is the same value, whatever the layout', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.integer({ min: 0, max: 4 }), (value, indent) => {
        const line = oneLine(JSON.stringify(value, null, indent));
        expect(line).not.toMatch(/[\r\n]/);
        expect(JSON.parse(line)).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });

  it('gives up its parts as JSON.parse has them', () => {
    const odd = fc.oneof(fc.jsonValue({ stringUnit: 'binary' }), fc.constantFrom('"', '\\', '\\"', ',]}', '{"a":1}'));
    fc.assert(
      fc.property(
        fc.array(odd),
        fc.dictionary(fc.string({ unit: 'binary' }), odd),
        fc.nat(2),
        (list, record, indent) => {
          const listText = JSON.stringify(list, null, indent);
          expect(elementsOf(listText).map((text) => JSON.parse(text))).toEqual(JSON.parse(listText));
          const text = JSON.stringify(record, null, indent);
          for (const [name, value] of Object.entries(JSON.parse(text) as object)) {
            expect(JSON.parse(memberOf(text, name)!)).toEqual(value);
          }
        },
      ),
    );
  });

  it.each([
    ['{"data":1,"data":[2]}', '[2]'],
    ['{"d\\u0061ta" : "}" }', '"}"'],
    ['{"x":{"data":1}, "data":-1.50 }', '-1.50'],
    ['{"x":"\\\\\\"","data":{"__proto__":1}}', '{"__proto__":1}'],
    ['{"x":1}', undefined],
    ['{}', undefined],
  ])('finds data in %s', (text, data) => expect(memberOf(text, 'data')).toBe(data));

  it.each(['', ' \n', '{', '1 2', '01', "'a'", '{"a":1}x', '"\n"', '"\\ud800"', '"\\udc00\\ud800"', '{"\\uDFFF":1}'])(
    'is refused when it is %j',
    (text) => expect(outcome(() => parseJson(text))).toBe('body_invalid'),
  );

  it.each(['"\\\\ud800"', '"\\ud83d\\ude00"', '"\\\\\\ud83d\\uDE00"', '"\u2028"'])('may be %s', (text) =>
    expect(outcome(() => parseJson(text))).not.toBe('body_invalid'),
  );

  it('nests as deep as the limit and no deeper, and brackets in strings do not count', () => {
    const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);
    expect(outcome(() => parseJson(nested(limits.jsonDepthMax)))).not.toBe('body_invalid');
    expect(outcome(() => parseJson(nested(limits.jsonDepthMax + 1)))).toBe('body_invalid');
    expect(outcome(() => parseJson(nested(limits.jsonDepthMax + 1), 1))).not.toBe('body_invalid');
    expect(outcome(() => parseJson(JSON.stringify('['.repeat(1000))))).toBe('['.repeat(1000));
    expect(outcome(() => parseJson('['.repeat(256 << 10)))).toBe('body_invalid');
  });

  it('is refused when its bytes are not UTF-8', () => {
    expect(outcome(() => decodeUtf8(new Uint8Array([0x22, 0xff, 0x22])))).toBe('body_invalid');
    expect(outcome(() => decodeUtf8(new Uint8Array([0xed, 0xa0, 0x80])))).toBe('body_invalid'); // a lone surrogate
  });
});

describe('a body', () => {
  it.each([
    [undefined, 'binary'],
    ['application/json', 'json'],
    ['Application/JSON; charset="UTF-8"', 'json'],
    ['application/geo+json', 'json'],
    ['application/vnd.edgewire+json', 'envelope'],
    ['text/html;charset=us-ascii', 'text'],
    ['application/x-www-form-urlencoded', 'form'],
    ['application/xml', 'binary'],
    ['image/png', 'binary'],
  ])('of content type %s is %s', (type, kind) => expect(bodyKindOf(type).kind).toBe(kind));

  it.each([
    'json',
    'text/',
    'text/plain;',
    'text/plain; charset',
    'text/plain, text/html',
    'text/plain; charset=latin1',
    'text/plain; charset=utf-8; charset=utf-8',
    'multipart/form-data; boundary=x',
    'application/cloudevents+json',
    'application/cloudevents-batch+json',
    `text/plain; x=${'y'.repeat(300)}`,
  ])('of content type %s is refused', (type) =>
    expect(outcome(() => bodyKindOf(type))).toBe('content_type_unsupported'),
  );

  it('never makes the content type parser slow', () => {
    const started = performance.now();
    fc.assert(fc.property(fc.string({ maxLength: 4000 }), (text) => void parseMediaType(`a/b;${text}`)));
    parseMediaType(`a/b; ${' '.repeat(200)};${' '.repeat(40)}!`);
    expect(performance.now() - started).toBeLessThan(2_000);
  });

  it('of text is a JSON string, whatever it holds', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const wellFormed = text.toWellFormed().replace(/^\ufeff/, '');
        const json = dataOf('text', utf8(wellFormed));
        expect(json).not.toMatch(/[\r\n\0]/);
        expect(JSON.parse(json)).toBe(wellFormed);
      }),
    );
  });

  it('of bytes comes back from base64', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 70_000 }), (bytes) => {
        const { $base64 } = JSON.parse(dataOf('binary', bytes)) as { $base64: string };
        expect(Buffer.from($base64, 'base64').equals(bytes)).toBe(true);
      }),
      { numRuns: 20 },
    );
  });

  it.each([
    ['a=1&b=&c', '{"a":"1","b":"","c":""}'],
    ['a=1&a=2&a=3', '{"a":["1","2","3"]}'],
    ['x=%C3%BC+%2B', '{"x":"ü +"}'],
    ['__proto__=1', '{"__proto__":"1"}'],
    ['', 'body_invalid'],
    ['hello', 'body_invalid'],
    [' {"a":"="}', 'body_invalid'],
    ['["="]', 'body_invalid'],
    ['a=%zz', 'body_invalid'],
    ['a=%ff', 'body_invalid'],
  ])('of the form %j is %s', (text, expected) => {
    expect(outcome(() => dataOf('form', utf8(text)))).toBe(expected);
    expect(Object.hasOwn(Object.prototype, '1')).toBe(false);
  });

  it('of a text that escapes make too long is refused', () => {
    expect(outcome(() => dataOf('text', new Uint8Array(limits.bodyBytesMax)))).toBe('body_too_large');
  });

  it('is read to the limit, and not much further when it is larger', async () => {
    let pulled = 0;
    const endless = new ReadableStream({
      pull(controller) {
        pulled++;
        controller.enqueue(new Uint8Array(1000));
      },
    });
    const request = new Request('http://x/', { method: 'POST', body: endless, duplex: 'half' } as RequestInit);
    await expect(readBody(request as never, 10_000)).rejects.toMatchObject({ code: 'body_too_large' });
    expect(pulled * 1_000).toBeLessThan(limits.bodyLingerBytesMax + 20_000);
    const exact = new Request('http://x/', { method: 'POST', body: new Uint8Array(10_000) });
    expect((await readBody(exact as never, 10_000)).length).toBe(10_000);
  });
});

describe('options', () => {
  const read = (query: string, headers: [string, string][] = []) => {
    const request = new Request(`http://x/${query}`, { headers });
    const c = { req: { url: request.url, raw: request } } as unknown as EdgeContext;
    return outcome(() => Object.fromEntries(readOptions(c)));
  };

  it.each<[string, [string, string][], unknown]>([
    ['', [], {}],
    ['?type=a&ttl=90s&store=no', [], { type: 'a', ttl: 90_000, store: false }],
    ['?ttl=60', [['Edgewire-Ttl', '1m']], { ttl: 60_000 }],
    ['?priority=low', [['Edgewire-Priority', 'high']], 'query_invalid'],
    ['?meta-a=%C3%BC', [['Edgewire-Meta-B', '%C3%BC 100%25']], { 'meta-a': 'ü', 'meta-b': 'ü 100%' }],
    ['?type=a&type=a', [], 'query_invalid'],
    ['?Type=a', [], 'query_invalid'],
    ['?toString=a', [], 'query_invalid'],
    ['?type=%zz', [], 'query_invalid'],
    ['?type=', [], 'query_invalid'],
    ['?ttl=31d', [], 'query_invalid'],
    ['?ttl=500ms', [], 'query_invalid'],
    ['?meta-__proto__=1', [], 'query_invalid'],
    ['?meta-A=1', [], 'query_invalid'],
    ['?meta-a=%E2%80%A8', [], 'query_invalid'],
    ['', [['Edgewire-Tyep', 'a']], 'header_invalid'],
    ['', [['Edgewire-Meta-A', '%0d%0aid: 1']], 'header_invalid'],
    ['', [['Edgewire-Key', '100%']], 'header_invalid'],
    ['', [['Edgewire-Source', '\u00fc']], 'header_invalid'],
    ['', Array.from({ length: 17 }, (_, i) => [`Edgewire-Meta-${i}`, 'x']), 'header_invalid'],
    [
      '',
      Array.from({ length: 16 }, (_, i) => [`Edgewire-Meta-m${i}`, 'x']),
      expect.objectContaining({ 'meta-m15': 'x' }),
    ],
  ])('%s with %j are %j', (query, headers, expected) => expect(read(query, headers)).toEqual(expected));

  it('are the same from an envelope, and differ loudly', () => {
    const text = '{"type":"a","ttl":60,"store":"yes","meta":{"x":"y"},"data":9007199254740993}';
    const given = givenIn(fitting(envelope, JSON.parse(text)), text);
    expect(given.data).toBe('9007199254740993');
    expect(Object.fromEntries(given.said)).toEqual({ type: 'a', ttl: 60_000, store: true, 'meta-x': 'y' });
    expect(outcome(() => merged(given.said, new Map([['type', 'a']]), 'header_invalid'))).toEqual(given.said);
    expect(outcome(() => merged(given.said, new Map([['type', 'b']]), 'header_invalid'))).toBe('header_invalid');
  });

  it('of an envelope are refused each with its pointer', () => {
    const bad = JSON.parse('{"a/b~":1,"meta":{"A":"x"},"ttl":0.5,"__proto__":{},"contentType":"png","replyTo":"a:*"}');
    let refusal: Refusal | undefined;
    try {
      fitting(envelope, bad, '/3');
    } catch (error) {
      refusal = error as Refusal;
    }
    expect(refusal?.errors?.map((fault) => fault.pointer).sort()).toEqual(
      ['/3/__proto__', '/3/a~1b~0', '/3/contentType', '/3/data', '/3/meta/A', '/3/replyTo', '/3/ttl'].sort(),
    );
    expect(refusal?.errors?.every((fault) => fault.detail.length > 15)).toBe(true);
  });

  it.each([
    ['00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', true],
    ['00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01', false],
    ['ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', false],
    [`00-${'0'.repeat(32)}-00f067aa0ba902b7-01`, false],
    [`00-4bf92f3577b34da6a3ce929d0e0e4736-${'0'.repeat(16)}-01`, false],
    ['00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x', false],
  ])('traceparent %s: %s', (text, good) => expect(traceparent.safeParse(text).success).toBe(good));

  it('admit no character into meta that could break a line', () => {
    for (const char of ['\0', '\n', '\r', '\x7f', '\x85', '\u2028', '\u2029']) {
      expect(metaValue.safeParse(`a${char}b`).success).toBe(false);
    }
  });
});

describe('a query string', () => {
  it('is read as URLSearchParams reads it, or refused', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.string(), fc.string())), (pairs) => {
        expect(parsePairs(new URLSearchParams(pairs).toString())).toEqual(pairs);
      }),
    );
    for (const text of ['a=%', 'a=%4', 'a=%ff', '%C3=1']) expect(parsePairs(text)).toBeUndefined();
  });
});

describe('a gap on a page of history', () => {
  const at = (ms: number) => ({ ms, seq: 0 });
  const entry = (ms: number, previous: number) => ({
    position: at(ms),
    previous: at(previous),
    epoch: 'e',
    json: '{}',
  });
  const page = (over: Partial<HistoryReply>): HistoryReply => ({
    clock: { tip: at(99), epoch: 'e', begin: at(0), floor: at(0), fork: undefined, nowMs: 0 },
    entries: [],
    more: false,
    oldest: undefined,
    oldestEpoch: '',
    last: undefined,
    lastKind: 'kept',
    older: false,
    ...over,
  });
  const gap = (reply: Partial<HistoryReply>, toEnd = true) =>
    gapOn('a' as Channel, { epoch: 'e', ms: 10, seq: 0 }, page(reply), toEnd);

  it.each<[string, Partial<HistoryReply>, unknown]>([
    ['nothing missed', { entries: [entry(12, 10), entry(15, 12)], oldest: at(8), last: at(15), older: true }, null],
    ['the oldest trimmed', { entries: [entry(15, 12)], oldest: at(15), last: at(15) }, ['e-10-0', 'e-15-0', 'trimmed']],
    [
      'one not kept between',
      { entries: [entry(12, 10), entry(15, 13)], oldest: at(12), last: at(15) },
      ['e-12-0', 'e-15-0', 'not-kept'],
    ],
    [
      'the last not kept',
      { entries: [entry(12, 10)], oldest: at(12), last: at(14), lastKind: 'not-kept' },
      ['e-12-0', null, 'not-kept'],
    ],
    ['all expired', { last: at(14) }, ['e-10-0', null, 'expired']],
    ['all purged', { last: at(14), lastKind: 'purged' }, ['e-10-0', null, 'trimmed']],
    ['purged before the cursor', { last: at(9), lastKind: 'purged' }, null],
    ['never heard of, nothing forgotten', {}, null],
    ['perhaps forgotten', { clock: { ...page({}).clock, floor: at(11) } }, ['e-10-0', null, 'expired']],
  ])('%s', (_, reply, expected) => {
    const found = gap(reply);
    expect(found && [found.after, found.oldest, found.reason]).toEqual(expected);
  });

  it('is not claimed beyond a page that has more', () => {
    expect(gap({ entries: [entry(12, 10)], oldest: at(12), last: at(14), more: true }, false)).toBeNull();
  });
});

describe('openapi.json', () => {
  it('is the print of the schemas that check requests (else: the command in edge/openapi/document.ts)', () => {
    const printed = readFileSync(new URL('../../edge/openapi/openapi.json', import.meta.url), 'utf8');
    expect(JSON.parse(printed)).toEqual(JSON.parse(JSON.stringify(openapi())));
  });
});
