import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { comparePositions, formatId, formatPosition, parseId, parsePosition, zero } from '../../shared/id.ts';

const seeded = { seed: 20_261_120, numRuns: 2_000 };
const anyPosition = fc.record({ ms: fc.nat(999_999_999_999_999), seq: fc.nat(9_999_999_999) });
const anyEpoch = fc.stringMatching(/^[a-z0-9]{10}$/);

describe('an id', () => {
  it('comes back from its text to the digit', () => {
    fc.assert(
      fc.property(anyEpoch, anyPosition, (epoch, position) => {
        expect(parseId(formatId(epoch, position))).toEqual({ epoch, ...position });
        expect(parsePosition(formatPosition(position))).toEqual(position);
      }),
      seeded,
    );
  });

  it.each([
    '',
    '-',
    'a-1',
    'a-1-',
    '-1-2',
    'a-1-2-3',
    'A-1-2',
    'a_b-1-2',
    'a-1.5-2',
    'a-1e3-2',
    'a--1-2',
    'a-0x1-2',
    ' a-1-2',
    'a-1-2 ',
    'a-1-2\n',
    'a-1-2\ndata: x',
    'a\0-1-2',
    'a-1-2\u2028',
    'a-١-2',
    'a-1234567890123456-0',
    'a-1-12345678901',
    `${'a'.repeat(25)}-1-2`,
  ])('is not %j', (text) => {
    expect(parseId(text)).toBeUndefined();
  });

  it.each(['', '1', '1-', '-1', '1-2-3', '1-2\n', '1-+', '1-$', '*', '1234567890123456-0'])(
    'has no place %j',
    (text) => {
      expect(parsePosition(text)).toBeUndefined();
    },
  );
});

describe('comparePositions', () => {
  it('orders by milliseconds first, then by count, as Redis does', () => {
    fc.assert(
      fc.property(anyPosition, anyPosition, (a, b) => {
        const [x, y] = [a, b].map(({ ms, seq }) => (BigInt(ms) << 64n) + BigInt(seq)) as [bigint, bigint];
        expect(Math.sign(comparePositions(a, b))).toBe(x < y ? -1 : x > y ? 1 : 0);
        expect(Math.sign(comparePositions(b, a))).toBe(x < y ? 1 : x > y ? -1 : 0);
        expect(comparePositions(a, { ...a })).toBe(0);
        expect(comparePositions(zero, a)).toBeLessThanOrEqual(0);
      }),
      seeded,
    );
  });

  it('does not compare as text: 9 comes before 10', () => {
    expect(comparePositions({ ms: 9, seq: 0 }, { ms: 10, seq: 0 })).toBeLessThan(0);
    expect(comparePositions({ ms: 1, seq: 9 }, { ms: 1, seq: 10 })).toBeLessThan(0);
  });
});
