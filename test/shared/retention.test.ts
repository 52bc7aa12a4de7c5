import { describe, expect, it } from 'vitest';
import type { Channel } from '../../shared/channel.ts';
import { defaultRetention, longestKeepMs, parseRetention, retentionOf } from '../../shared/retention.ts';

const kept = (text: string, channel: string) => {
  const { length, keepMs } = retentionOf(parseRetention(text), channel as Channel);
  return { length, keepMs };
};

describe('retention', () => {
  it('keeps 10,000 messages and an hour, of notifications 100 and 30 days, when nothing is said', () => {
    expect(parseRetention('')).toEqual(defaultRetention);
    expect(kept('', 'orders')).toEqual({ length: 10_000, keepMs: 3_600_000 });
    expect(kept('', 'notify:user:42')).toEqual({ length: 100, keepMs: 30 * 86_400_000 });
    expect(kept('', 'notify')).toEqual({ length: 10_000, keepMs: 3_600_000 });
  });

  it('is decided by the first rule that matches', () => {
    const rules = 'chat:vip:*=50/2h, chat:*=5/1m\ncursors:*=none,*=7/90s';
    expect(kept(rules, 'chat:vip:1')).toEqual({ length: 50, keepMs: 7_200_000 });
    expect(kept(rules, 'chat:1')).toEqual({ length: 5, keepMs: 60_000 });
    expect(kept(rules, 'cursors:1')).toEqual({ length: 0, keepMs: 0 });
    expect(kept(rules, 'notify:user:42')).toEqual({ length: 7, keepMs: 90_000 });
    expect(kept('*=1/1h,chat=2/1h', 'chat')).toEqual({ length: 1, keepMs: 3_600_000 });
  });

  it('leaves the defaults to what no rule names', () => {
    expect(kept('chat:*=none', 'orders')).toEqual({ length: 10_000, keepMs: 3_600_000 });
  });

  it.each([
    'chat',
    'chat=',
    'chat=10',
    'chat=10/',
    'chat=/1h',
    'chat=10/1w',
    'chat=0/1h',
    'chat=-1/1h',
    'chat=1.5/1h',
    'chat=12345678/1h',
    'chat=10/999ms',
    'chat=NONE',
    'chat=none/1h',
    'a/b=10/1h',
    'a?=10/1h',
    '*:*:*:*=10/1h',
    'chat=1/1h=2',
    '=10/1h',
  ])('names the part that is wrong: %s', (part) => {
    const shown = new RegExp(`retention "${part.replace(/[^\w]/g, '\\$&')}"`);
    expect(() => parseRetention(`ok=1/1h ${part}, also=none`)).toThrow(shown);
    expect(() => parseRetention(part)).toThrow(RangeError);
  });

  it.each([
    ['', 30 * 86_400_000],
    ['*=10/1s', 1_000],
    ['a:*=10/2h, *=10/1h', 7_200_000],
    ['a*=10/1h, a:b=10/9d, *=none', 3_600_000],
    ['*=none', 0],
  ])('keeps nothing for longer than the longest rule that can hold: "%s"', (text, longestMs) => {
    expect(longestKeepMs(parseRetention(text))).toBe(longestMs);
  });
});
