import { describe, expect, it } from 'vitest';
import { parseDuration } from '../../shared/duration.ts';

describe('parseDuration', () => {
  it.each([
    ['0', 0],
    ['90', 90_000],
    ['250ms', 250],
    ['90s', 90_000],
    ['10m', 600_000],
    ['1h', 3_600_000],
    ['30d', 2_592_000_000],
    ['9999999999d', 9_999_999_999 * 86_400_000],
  ])('reads %s as %i ms', (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  it.each([
    '',
    's',
    '-1s',
    '+1s',
    '1.5h',
    '1 h',
    ' 1h',
    '1h ',
    '1h\n',
    '1H',
    '1w',
    '1e3',
    '0x10',
    '1h30m',
    'Infinity',
    '12345678901',
    '١s',
  ])('does not read %j', (text) => {
    expect(parseDuration(text)).toBeUndefined();
  });
});
