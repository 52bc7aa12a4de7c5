import { createParser } from 'eventsource-parser';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { controlFrame, firstFrame, idFrame, messageFrame, retryFrame } from '../../shared/sse.ts';

type Line = [field: string, value: string];

/**
 * Blocks of a stream by the letter of the standard (9.2.6): a line ends with CR LF, LF or CR and with nothing else. It
 * takes bytes, as a browser does, and keeps every field, blocks without data too.
 */
function read(...frames: Uint8Array[]): Line[][] {
  const stream = new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(frames));
  const blocks: Line[][] = [];
  const block: Line[] = [];
  for (const line of stream.split(/\r\n|\n|\r/)) {
    const [, field, value] = /^([^:]*):? ?(.*)$/su.exec(line)!;
    if (line !== '') block.push([field!, value!]);
    else if (block.length > 0) blocks.push(block.splice(0));
  }
  expect(block).toEqual([]);
  return blocks;
}

const json = (value: unknown) => JSON.stringify(value);
const bytes = (text: string) => new TextEncoder().encode(text);

/** What breaks lines, fields or decoders somewhere. */
const nasty = fc.string({
  unit: fc.oneof(
    fc.constantFrom('\n', '\r', '\r\n', '\0', '\u2028', '\u2029', '\u0085', '\ufeff', '\ud800', '\udfff', '\v', '\f'),
    fc.constantFrom('data: ', 'id: ', 'event: ', 'retry: 1', ':', '\\', '"', '\n\n', '🚀'),
    fc.string({ unit: 'binary', maxLength: 2 }),
  ),
});
const seeded = { seed: 20_261_120, numRuns: 1_000 };

describe('a message frame', () => {
  it('is read back as the id and the JSON that were put in, and nothing else', () => {
    fc.assert(
      fc.property(fc.array(fc.jsonValue({ stringUnit: 'binary' })), nasty, (values, string) => {
        const texts = [...values, string, { [string]: string }].map(json);
        const blocks = read(...texts.map((text, i) => messageFrame(`e-1-${i}`, bytes(text))));
        expect(blocks).toEqual(
          texts.map((text, i) => [
            ['id', `e-1-${i}`],
            ['data', text],
          ]),
        );
      }),
      seeded,
    );
  });

  it('is one event for a parser that browsers agree with', () => {
    const events: unknown[] = [];
    const parser = createParser({ onEvent: (event) => events.push(event) });
    parser.feed(new TextDecoder().decode(messageFrame('e-1-0', bytes(json('a\nb\u2028c')))));
    expect(events).toEqual([{ id: 'e-1-0', event: undefined, data: json('a\nb\u2028c') }]);
  });

  it('keeps the bytes of the JSON as they came', () => {
    const raw = bytes('{"n":9007199254740993,"s":"\u2028🚀"}');
    const frame = Buffer.from(messageFrame('e-1-0', raw));
    expect(frame.subarray(frame.indexOf('data: ') + 6, -2)).toEqual(Buffer.from(raw));
  });
});

describe('the other frames', () => {
  it('begin a stream with a wait and a cursor, without an event', () => {
    expect(read(firstFrame(1234.6, 'e-1-0'))).toEqual([
      [
        ['retry', '1235'],
        ['id', 'e-1-0'],
      ],
    ]);
  });

  it('ask to come back without moving the cursor', () => {
    expect(read(retryFrame(2000))).toEqual([[['retry', '2000']]]);
  });

  it('move the cursor and raise no event', () => {
    expect(read(idFrame('e-1-0'))).toEqual([[['id', 'e-1-0']]]);
  });

  it('tell a control event without an id, its data on one line', () => {
    fc.assert(
      fc.property(nasty, (channel) => {
        expect(read(controlFrame('gap', { channel }), controlFrame('open', {}))).toEqual([
          [
            ['event', 'edgewire.gap'],
            ['data', json({ channel })],
          ],
          [
            ['event', 'edgewire.open'],
            ['data', '{}'],
          ],
        ]);
      }),
      seeded,
    );
  });
});
