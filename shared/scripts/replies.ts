import type { Clock } from '../continuity.ts';
import { type Position, parsePosition } from '../id.ts';

/** What several scripts answer alike. Apart from their Lua, so that the edge does not carry the relay's scripts. */

/** One kept message as history holds it. `json` is the whole message, one line; empty when its own `ttl` has passed. */
export interface Entry {
  position: Position;
  previous: Position;
  epoch: string;
  json: string;
}

/** What became of a channel's newest message. */
export type LastKind = 'kept' | 'not-kept' | 'purged';

/** A field of the hash `last`: a place, and what became of the message there. */
export function parseLast(field: string): { last: Position; lastKind: LastKind } {
  const [position, kind] = field.split(' ');
  return { last: parsePosition(position!)!, lastKind: kind === 'n' ? 'not-kept' : kind === 'p' ? 'purged' : 'kept' };
}

export function parseClock([tip, epoch, begin, floor, fork, now]: string[]): Clock {
  return {
    tip: parsePosition(tip!)!,
    epoch: epoch!,
    begin: parsePosition(begin!)!,
    floor: parsePosition(floor!)!,
    fork: fork ? parsePosition(fork) : undefined,
    nowMs: Number(now),
  };
}

export function parseEntry([position, previous, epoch, json]: string[]): Entry {
  return { position: parsePosition(position!)!, previous: parsePosition(previous!)!, epoch: epoch!, json: json! };
}
