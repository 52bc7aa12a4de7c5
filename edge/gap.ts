import type { Channel } from '../shared/channel.ts';
import { Chain, type GapReason, gapReason, locate, type ResetReason } from '../shared/continuity.ts';
import { comparePositions, formatId, type Id, type Position } from '../shared/id.ts';
import type { HistoryReply } from '../shared/scripts/history.ts';

/** Loss behind a cursor, as history tells it: something after `after` is missing, `oldest` is there again. */
export interface Gap {
  after: string;
  oldest: string | null;
  reason: GapReason | ResetReason;
}

/**
 * Where the page after `cursor` must really begin, and why not at the cursor: another history holds now. The reply is that
 * of a page asked for after the cursor; undefined when there is no history at all.
 */
export function placeOf(cursor: Id, reply: HistoryReply | undefined): { from: Position; reset?: ResetReason } {
  return reply ? locate(cursor, reply.clock) : { from: cursor, reset: 'epoch' };
}

/**
 * The first thing missing on an ascending page that was read from `from`, or null. `reply.entries` must hold the page whole,
 * hidden entries too: they have their links. With `toEnd`, what was heard after the last entry counts as well.
 */
export function gapOn(channel: Channel, from: Id, reply: HistoryReply, toEnd: boolean): Gap | null {
  const { clock, entries } = reply;
  const chain = new Chain(from);
  for (const [index, entry] of entries.entries()) {
    const hole = chain.next(channel, entry.previous, entry.position);
    if (!hole) continue;
    const before = entries[index - 1];
    return {
      after: formatId(before?.epoch ?? from.epoch, hole),
      oldest: formatId(entry.epoch, entry.position),
      reason: gapReason(before !== undefined || reply.older, true, reply.lastKind),
    };
  }
  // A channel that was forgotten counts as heard up to the floor: nothing newer can have been forgotten.
  const newest = reply.last ?? clock.floor;
  const heard = chain.heard(channel);
  if (!toEnd || comparePositions(newest, heard) <= 0) return null;
  const older = entries.length > 0 || reply.older;
  return {
    after: formatId(entries.at(-1)?.epoch ?? from.epoch, heard),
    oldest: null,
    reason: gapReason(older, reply.oldest !== undefined, reply.lastKind),
  };
}
