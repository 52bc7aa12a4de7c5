import { describe, expect, it } from 'vitest';
import type { Channel } from '../../shared/channel.ts';
import { Chain, type Clock, gapReason, locate } from '../../shared/continuity.ts';
import { type Position, zero } from '../../shared/id.ts';

const at = (ms: number, seq = 0): Position => ({ ms, seq });
const clock: Clock = { tip: at(500, 5), epoch: 'now', begin: at(300), floor: zero, fork: undefined, nowMs: 600 };
const cursor = (epoch: string, place: Position) => ({ epoch, ...place });

describe('locate', () => {
  it.each([
    ['in the same epoch: at its cursor', cursor('now', at(400)), clock, { from: at(400) }],
    ['exactly at the tip: there', cursor('now', clock.tip), clock, { from: clock.tip }],
    ['one ahead of the tip: at the tip, told', cursor('now', at(500, 6)), clock, { from: clock.tip, reset: 'ahead' }],
    ['far ahead of the tip: at the tip, told', cursor('now', at(9_999)), clock, { from: clock.tip, reset: 'ahead' }],
    [
      'in an unknown epoch: where this one began, told',
      cursor('old', at(400)),
      clock,
      { from: at(300), reset: 'epoch' },
    ],
    [
      'before the end of an older epoch: at its cursor',
      cursor('old', at(200)),
      { ...clock, fork: at(250, 2) },
      { from: at(200) },
    ],
    [
      'at the end of an older epoch: there',
      cursor('old', at(250, 2)),
      { ...clock, fork: at(250, 2) },
      { from: at(250, 2) },
    ],
    [
      'past the end of an older epoch: at its end, told',
      cursor('old', at(250, 3)),
      { ...clock, fork: at(250, 2) },
      { from: at(250, 2), reset: 'rewind' },
    ],
  ])('%s', (_, from, clockNow, expected) => {
    const { from: place, reset } = locate(from, clockNow);
    expect({ from: at(place.ms, place.seq), ...(reset && { reset }) }).toEqual(expected);
  });
});

describe('Chain', () => {
  const a = 'a' as Channel;
  const b = 'b' as Channel;

  it('finds nothing missing while every message links to the one heard before', () => {
    const chain = new Chain(at(10));
    expect(chain.next(a, at(4), at(11))).toBeUndefined();
    expect(chain.next(a, at(11), at(12))).toBeUndefined();
    expect(chain.next(b, at(10), at(13))).toBeUndefined();
    expect(chain.next(a, at(12), at(14))).toBeUndefined();
    expect([chain.heard(a), chain.heard(b)]).toEqual([at(14), at(13)]);
  });

  it('tells after which place something is missing, each channel for itself, and goes on from there', () => {
    const chain = new Chain(at(10));
    expect(chain.next(a, at(11), at(12))).toEqual(at(10));
    expect(chain.next(b, at(9), at(13))).toBeUndefined();
    expect(chain.next(b, at(13, 1), at(14))).toEqual(at(13));
    expect(chain.next(a, at(12), at(15))).toBeUndefined();
  });

  it('needs no proof for what lies before its start', () => {
    expect(new Chain(at(10)).heard(a)).toEqual(at(10));
    expect(new Chain(at(10)).next(a, at(10), at(11))).toBeUndefined();
    expect(new Chain(at(10)).next(a, at(10, 1), at(11))).toEqual(at(10));
  });
});

describe('gapReason', () => {
  it.each([
    [true, true, 'kept', 'not-kept'],
    [true, false, 'kept', 'not-kept'],
    [true, true, 'not-kept', 'not-kept'],
    [true, false, 'not-kept', 'not-kept'],
    [true, true, 'purged', 'not-kept'],
    [true, false, 'purged', 'not-kept'],
    [false, true, 'kept', 'trimmed'],
    [false, true, 'not-kept', 'trimmed'],
    [false, true, 'purged', 'trimmed'],
    [false, false, 'purged', 'trimmed'],
    [false, false, 'not-kept', 'not-kept'],
    [false, false, 'kept', 'expired'],
  ] as const)('something older kept %s, anything kept %s, the newest %s: %s', (older, anyKept, lastKind, reason) => {
    expect(gapReason(older, anyKept, lastKind)).toBe(reason);
  });
});
