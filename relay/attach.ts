import { Chain } from '../shared/continuity.ts';
import { formatId, type Id, type Position } from '../shared/id.ts';
import type { Keys } from '../shared/keys.ts';
import { firstFrame } from '../shared/sse.ts';
import type { Reader } from './connection.ts';
import type { Hub } from './hub.ts';
import { type Plan, type PlanTools, plotReplay, type Start } from './plan.ts';
import { type ReplayTools, replayAll } from './replay.ts';
import type { Subscriber } from './subscriber.ts';

export interface AttachTools extends PlanTools, ReplayTools {
  keys: Keys;
  hub: Hub;
  subscriber: Subscriber;
  parts: AttachParts;
}

/**
 * The order of the join, its two places and the way back into it, each of which loses messages when changed. They are handed in so that the
 * tests can hand in wrong ones and see the loss that the right ones prevent.
 */
export interface AttachParts {
  /** Listen first, then read history: what is published in between is in both, never in neither. */
  attach(reader: Reader, start: Start, tools: AttachTools): Promise<void>;
  /** Brings a reader that stands somewhere, and fell behind or outlived its epoch, up to date from history. */
  rejoin(reader: Reader, tools: AttachTools): Promise<void>;
  /** The first block. Its id is the cursor of a reader that is cut off before its first message. */
  greet(reader: Reader, id: Id): Uint8Array;
  /** Where the replay of patterns stops: where the clock stood when their channels were listed, not later. */
  until(snapshot: Position): Position | undefined;
}

/** Joins the hub and waits until Redis sends what this reader should hear. Throws RedisAway. */
export async function listen(reader: Reader, { hub, subscriber, keys }: AttachTools): Promise<void> {
  hub.join(reader);
  await Promise.all(hub.names(reader, keys).map((name) => subscriber.hold(name)));
}

/** The opposite of `listen`, also of one that failed. */
export function unlisten(reader: Reader, { hub, subscriber, keys }: AttachTools): void {
  hub.leave(reader);
  for (const name of hub.names(reader, keys)) subscriber.release(name);
}

/**
 * Brings a reader to live: buffer, replay up to a snapshot, then what was buffered beyond it. Used for a new stream, which
 * begins at `start`, and for one that stands somewhere: a slow reader that has drained, any reader after an epoch ended.
 * Throws RedisAway.
 */
export async function catchUp(reader: Reader, start: Start, tools: AttachTools): Promise<void> {
  while (await reader.room()) {
    const join = reader.beginJoin();
    try {
      // Only now: while it waited for room it may have been sent more.
      const plan = await plotReplay(reader, reader.cursor ? { kind: 'resume', cursor: reader.cursor } : start, tools);
      if (reader.join !== join && !reader.greeted) continue; // interrupted before it stood anywhere: nobody else will join it
      if (reader.join !== join || reader.state === 'closed') return;
      announce(reader, plan, tools);
      const until = await replayAll(reader, join, plan, tools);
      if (!until) return;
      // A rewind promises the newest few, not what lies before them: its proof begins with the snapshot.
      const chain = plan.cutoffs ? new Chain(until) : plan.chain;
      if (reader.goLive(join, plan.clock.epoch, until, chain) !== 'overflowed') return;
    } catch (error) {
      if (reader.join === join || !reader.greeted) throw error;
      return; // overtaken: the other join answers for this reader now
    }
  }
}

/** First block and `open` on a new stream; on a living one only the step back, if there is one. */
function announce(reader: Reader, plan: Plan, { parts, metrics }: AttachTools): void {
  const { channels, patterns } = reader;
  if (!reader.greeted) {
    reader.greeted = true;
    reader.message(parts.greet(reader, plan.first), plan.first.epoch, plan.first);
    reader.control('open', { connectionId: reader.id, channels, patterns });
  } else if (plan.reset) {
    reader.moveCursor(plan.first.epoch, plan.first);
  }
  if (!plan.reset) return;
  metrics.resets.inc({ reason: plan.reset });
  reader.control('reset', { reason: plan.reset, from: formatId(plan.first.epoch, plan.first) });
}

/** The right order and places; see AttachParts. */
export const attachParts: AttachParts = {
  async attach(reader, start, tools) {
    await listen(reader, tools);
    await catchUp(reader, start, tools);
  },
  rejoin: (reader, tools) => catchUp(reader, { kind: 'now' }, tools),
  greet: (reader, id) => firstFrame(reader.retryMs, formatId(id.epoch, id)),
  until: (snapshot) => snapshot,
};
