import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseEnvelope, parsePulse } from '../../shared/envelope.ts';

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (json: Uint8Array) => new TextDecoder().decode(json);

describe('an envelope', () => {
  it('carries its JSON untouched, whatever is in it', () => {
    fc.assert(
      fc.property(fc.json({ stringUnit: 'binary' }), (json) => {
        const envelope = parseEnvelope(bytes(`1 17-2 16-0 k3x9f2 notify:user:42\n${json}`))!;
        expect({ ...envelope, json: text(envelope.json) }).toEqual({
          position: { ms: 17, seq: 2 },
          previous: { ms: 16, seq: 0 },
          epoch: 'k3x9f2',
          channel: 'notify:user:42',
          json: text(bytes(json)),
        });
      }),
      { seed: 20_261_120, numRuns: 500 },
    );
  });

  it('takes the longest channel and the largest position', () => {
    const name = Array.from({ length: 4 }, (_, i) => 'a'.repeat(i ? 64 : 60)).join(':');
    expect(name.length).toBe(255);
    expect(parseEnvelope(bytes(`1 999999999999999-9999999999 0-0 ${'e'.repeat(24)} ${name}\n{}`))?.channel).toBe(name);
  });

  it.each([
    ['a later version', '2 17-2 16-0 e a\n{}'],
    ['no version', '17-2 16-0 e a\n{}'],
    ['a version that only begins with 1', '10 17-2 16-0 e a\n{}'],
    ['a word more', '1 17-2 16-0 e a b\n{}'],
    ['a word less', '1 17-2 16-0 a\n{}'],
    ['no line', '1 17-2 16-0 e a'],
    ['nothing', ''],
    ['a header cut short', '1 17-2'],
    ['a line feed in the JSON', '1 17-2 16-0 e a\n{}\ndata: forged'],
    ['a trailing line feed', '1 17-2 16-0 e a\n{}\n'],
    ['a carriage return in the JSON', '1 17-2 16-0 e a\n{}\rid: forged'],
    ['a carriage return in the header', '1 17-2 16-0 e a\r\n{}'],
    ['a channel that is none', '1 17-2 16-0 e a/b\n{}'],
    ['a pattern for a channel', '1 17-2 16-0 e a*\n{}'],
    ['a position that is none', '1 17 16-0 e a\n{}'],
    ['a previous that is none', '1 17-2 - e a\n{}'],
    ['a header without end', `1 17-2 16-0 ${'e'.repeat(1_000_000)} a\n{}`],
    ['an epoch that would break a line', '1 17-2 16-0 e\rid:x a\n{}'],
    ['an epoch that no id can hold', '1 17-2 16-0 E_! a\n{}'],
    ['an empty epoch', '1 17-2 16-0  a\n{}'],
  ])('is not %s', (_, wire) => {
    expect(parseEnvelope(bytes(wire))).toBeUndefined();
  });

  it('is never found in bytes that are no text', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (noise) => {
        expect(parseEnvelope(noise)).toBeUndefined();
        expect(parsePulse(noise)).toBeUndefined();
      }),
      { seed: 20_261_120, numRuns: 2_000 },
    );
  });
});

describe('a pulse', () => {
  it('says how far everything was heard, and in which epoch', () => {
    expect(parsePulse(bytes('2 17-2 k3x9f2'))).toEqual({ tip: { ms: 17, seq: 2 }, epoch: 'k3x9f2' });
  });

  it.each([
    '1 17-2 e',
    '2 17-2',
    '2 17-2 e more',
    '2 17 e',
    '2 17-2 ',
    '2 17-2 e\nid: forged',
    '2 17-2 E',
    `2 17-2 ${'e'.repeat(100)}`,
    '',
  ])('is not %j', (wire) => {
    expect(parsePulse(bytes(wire))).toBeUndefined();
  });
});
