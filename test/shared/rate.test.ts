import { expect, test } from 'vitest';
import { allowance, everyMicros, parseRate, waitS } from '../../shared/rate.ts';

test.each([
  ['100/s', 100, 1_000],
  ['20/10s', 20, 10_000],
  ['600/m', 600, 60_000],
  ['1/24h', 1, 86_400_000],
  ['10000/s', 10_000, 1_000],
])('%s is a rate', (text, messages, perMs) => {
  expect(parseRate(text)).toEqual({ messages, perMs });
});

test.each([
  '',
  '100',
  '/s',
  '0/s',
  '-1/s',
  '1.5/s',
  '100/',
  '100/0s',
  '100/ms',
  '10001/s',
  '1/25h',
  '1/s ',
  '1/d',
  '1/s/s',
])('%s is none', (text) => {
  expect(parseRate(text)).toBeUndefined();
});

test('what is left and how long to wait are exact in whole messages', () => {
  for (const rate of [
    { messages: 3, perMs: 1_000 },
    { messages: 7, perMs: 60_000 },
    { messages: 9_999, perMs: 1_000 },
  ]) {
    const every = everyMicros(rate);
    for (const spent of [0, 1, 2, 3]) {
      expect(allowance(rate, spent * every).remaining).toBe(rate.messages - spent);
      expect(waitS(rate, spent * every, rate.messages)).toBe(Math.ceil((spent * every) / 1e6));
    }
    expect(waitS(rate, 0, rate.messages + 1)).toBeUndefined();
    expect(allowance(rate, every * rate.messages).fullS).toBe(rate.perMs / 1_000);
  }
});
