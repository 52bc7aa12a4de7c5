import type { Channel } from './channel.ts';
import { comparePositions, type Id, type Position } from './id.ts';

/** Where the deployment's one order stands. */
export interface Clock {
  /** The newest position given. */
  tip: Position;
  epoch: string;
  /** Where the current epoch began: the last position of the one before. */
  begin: Position;
  /** Channels last heard at or before this place may have been forgotten. */
  floor: Position;
  /** Where the epoch of the asked cursor ended, if it is an older one whose end is known. */
  fork: Position | undefined;
  /** Redis's clock. */
  nowMs: number;
}

export type ResetReason = 'epoch' | 'rewind' | 'ahead' | 'malformed' | 'capped';
export type GapReason = 'trimmed' | 'expired' | 'not-kept';

/** Known loss on one channel: something after `after` is missing; `oldest` is the first that is there again. */
export interface Gap {
  after: Position;
  oldest: Position | undefined;
  reason: GapReason;
}

/**
 * Where a client that stands at `cursor` must read on, decided per client:
 * same epoch: at its cursor; ahead of the tip (a lost tail nobody noticed): at the tip, `ahead`.
 * Older epoch whose end is known: at its cursor if that lies before the end, which is lossless; else at the end, `rewind`.
 * Anything else: where the current epoch began, `epoch`. (`malformed`: no cursor at all; `capped`: more channels changed
 * under the client's patterns than one resume reads.)
 */
export function locate(cursor: Id, clock: Clock): { from: Position; reset?: ResetReason } {
  if (cursor.epoch === clock.epoch) {
    return comparePositions(cursor, clock.tip) <= 0 ? { from: cursor } : { from: clock.tip, reset: 'ahead' };
  }
  if (!clock.fork) return { from: clock.begin, reset: 'epoch' };
  return comparePositions(cursor, clock.fork) <= 0 ? { from: cursor } : { from: clock.fork, reset: 'rewind' };
}

/**
 * Follows the `previous` links of one reader's channels, so that a hole is seen wherever it is. `start` is the reader's
 * place: whatever a channel links to at or before it needs no proof, except in `doubts`: channels that went on while their
 * replay ran, by a message that is not kept. Only the link of the one that comes next tells whether something was missing
 * before it, after the place noted there; until then the doubt stays with the reader.
 */
export class Chain {
  readonly #start: Position;
  readonly #doubts: Map<Channel, Position>;
  readonly #heard = new Map<Channel, Position>();

  constructor(start: Position, doubts = new Map<Channel, Position>()) {
    this.#start = start;
    this.#doubts = doubts;
  }

  /** The newest place known of this channel. */
  heard(channel: Channel): Position {
    return this.#heard.get(channel) ?? this.#doubts.get(channel) ?? this.#start;
  }

  /** Notes a message. Answers the place after which something is missing before it, if so. */
  next(channel: Channel, previous: Position, position: Position): Position | undefined {
    const heard = this.heard(channel);
    this.#heard.set(channel, position);
    this.#doubts.delete(channel);
    return comparePositions(previous, heard) > 0 ? heard : undefined;
  }

  doubt(channel: Channel): void {
    this.#doubts.set(channel, this.heard(channel));
  }
}

/** Why a hole is there: nothing was trimmed if something older is still kept; else by what became of the newest message. */
export function gapReason(older: boolean, anyKept: boolean, lastKind: 'kept' | 'not-kept' | 'purged'): GapReason {
  if (older) return 'not-kept';
  if (anyKept || lastKind === 'purged') return 'trimmed';
  return lastKind === 'not-kept' ? 'not-kept' : 'expired';
}
