import type { LimitFunction } from 'p-limit';
import { type Channel, matches, type Pattern } from '../shared/channel.ts';
import { Chain, type Clock, type GapReason, gapReason, locate, type ResetReason } from '../shared/continuity.ts';
import { comparePositions, formatId, type Id, type Position, zero } from '../shared/id.ts';
import type { Keys } from '../shared/keys.ts';
import { limits } from '../shared/limits.ts';
import { type Redis, RedisAway } from '../shared/redis.ts';
import { probe } from '../shared/scripts/clock.ts';
import { changes, type ReplayedChannel, recent, replay } from '../shared/scripts/replay.ts';
import type { Entry } from '../shared/scripts/replies.ts';
import { firstFrame, messageFrame } from '../shared/sse.ts';
import type { Reader } from './connection.ts';
import type { Hub } from './hub.ts';
import type { Metrics } from './metrics.ts';
import type { Subscriber } from './subscriber.ts';

/** Where a stream begins. */
export type Start =
  | { kind: 'now' }
  | { kind: 'resume'; cursor: Id }
  | { kind: 'malformed' }
  | { kind: 'since'; agoMs: number }
  | { kind: 'rewind'; count: number };

export interface AttachTools {
  redis: Redis;
  keys: Keys;
  hub: Hub;
  subscriber: Subscriber;
  metrics: Metrics;
  /** `[a-z0-9]{10}`, fresh for each call. */
  newSeed(): string;
  /** How many pages of history are in memory at once. */
  gate: LimitFunction;
  parts: AttachParts;
}

/**
 * The order of the join and its two places, each of which loses messages when changed. They are handed in so that the
 * tests can hand in wrong ones and see the loss that the right ones prevent.
 */
export interface AttachParts {
  /** Listen first, then read history: what is published in between is in both, never in neither. */
  attach(reader: Reader, start: Start, tools: AttachTools): Promise<void>;
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
 * Brings a reader from `start` to live: buffer, replay up to a snapshot, then what was buffered beyond it. Used for a new
 * stream, for a slow reader that has drained, and for all readers after Redis was away. Throws RedisAway.
 */
export async function catchUp(reader: Reader, start: Start, tools: AttachTools): Promise<void> {
  let from = start;
  for (;;) {
    if (!(await reader.room())) return;
    const join = reader.beginJoin();
    const plan = await plotReplay(reader, from, tools);
    if (reader.state === 'closed' || (reader.join !== join && reader.greeted)) return;
    if (reader.join !== join) continue; // interrupted before it stood anywhere, and nobody else will join it
    announce(reader, plan, tools);
    if (!(await replayAll(reader, join, plan, tools))) return;
    reader.onGap = (channel, after, oldest) => tellGap(reader, plan, tools, channel, after, oldest, 'trimmed');
    const until = plan.until!;
    // A rewind promises the newest few, not what lies before them: its proof begins with the snapshot.
    const chain = plan.cutoffs ? new Chain(until) : plan.chain;
    if (reader.goLive(plan.clock.epoch, until, chain)) return;
    from = { kind: 'resume', cursor: { epoch: plan.clock.epoch, ...until } };
  }
}

/** What is to be read: decided on one snapshot of the clock. */
interface Plan {
  clock: Clock;
  from: Position;
  /** Where the replay stops, what comes later is in the buffer; undefined until the last page has told. */
  until: Position | undefined;
  /** The client's own cursor when it continues without loss; else the place where the replay begins. */
  first: Id;
  reset: ResetReason | undefined;
  channels: readonly Channel[];
  chain: Chain;
  /** For a rewind: per channel the first message to send; undefined for one that keeps none. */
  cutoffs: Map<Channel, Position | undefined> | undefined;
}

async function plotReplay(reader: Reader, start: Start, tools: AttachTools): Promise<Plan> {
  const cursor = start.kind === 'resume' ? start.cursor : undefined;
  let seen = await snapshot(reader, cursor, cursor, tools);
  let { from, reset } = begin(start, seen.clock);
  if (reader.patterns.length > 0 && start.kind !== 'now' && !(cursor && comparePositions(from, cursor) === 0)) {
    const epoch = seen.clock.epoch;
    seen = await snapshot(reader, cursor, from, tools); // the list of changed channels must reach back to where we begin
    if (seen.clock.epoch !== epoch) throw new RedisAway('the epoch changed while a place in it was looked for');
  }
  const { clock } = seen;
  let channels = [...new Set([...reader.channels, ...seen.channels])];
  if (seen.capped) {
    reset ??= 'capped';
    from = clock.tip;
    channels = [];
  }
  const cutoffs = start.kind === 'rewind' ? await findCutoffs(channels, start.count, tools) : undefined;
  if (cutoffs) from = placeBefore([...cutoffs.values()], clock.tip);
  const first = cursor && !reset ? cursor : { epoch: clock.epoch, ...from };
  const until = stopOf(reader, start, clock, tools.parts);
  return { clock, from, until, first, reset, channels, chain: new Chain(from), cutoffs };
}

/**
 * Patterns stop where the clock stood when their channels were listed. Without them the replay may run on to wherever the
 * clock stands when its last page is read, which leaves no moment in between.
 */
function stopOf(reader: Reader, start: Start, clock: Clock, parts: AttachParts): Position | undefined {
  if (start.kind === 'now') return clock.tip;
  return reader.patterns.length > 0 ? parts.until(clock.tip) : undefined;
}

/** The clock, begun if need be, and which channels under the reader's patterns changed since `after`, if given. */
async function snapshot(
  reader: Reader,
  cursor: Id | undefined,
  after: Position | undefined,
  { redis, newSeed }: AttachTools,
): Promise<{ clock: Clock; channels: Channel[]; capped: boolean }> {
  const namesMax = after && reader.patterns.length > 0 ? limits.changedChannelsMax : 0;
  const args = { cursorEpoch: cursor?.epoch ?? '', after: after ?? zero, namesMax };
  let answer = await redis.run(changes, args);
  if (!answer) {
    await redis.run(probe, { seed: newSeed() });
    answer = await redis.run(changes, args);
  }
  if (!answer) throw new RedisAway('the clock that was just begun is gone');
  if (namesMax === 0) return { clock: answer.clock, channels: [], capped: false };
  const channels = answer.channels.filter((channel) => reader.patterns.some((pattern) => matches(pattern, channel)));
  const capped = answer.channels.length > namesMax || channels.length > limits.patternReplayChannelsMax;
  return { clock: answer.clock, channels, capped };
}

function begin(start: Start, clock: Clock): { from: Position; reset?: ResetReason } {
  switch (start.kind) {
    case 'resume':
      return locate(start.cursor, clock);
    case 'malformed':
      return { from: clock.begin, reset: 'malformed' };
    case 'since': {
      const place = { ms: Math.max(clock.nowMs - start.agoMs, 0), seq: 0 };
      return { from: comparePositions(place, clock.tip) < 0 ? place : clock.tip };
    }
    case 'rewind':
      return { from: zero };
    case 'now':
      return { from: clock.tip };
  }
}

async function findCutoffs(channels: readonly Channel[], count: number, { redis }: AttachTools) {
  const places = channels.length > 0 ? await redis.run(recent, { channels, count }) : [];
  return new Map(channels.map((channel, i) => [channel, places[i]]));
}

/** The newest place before all of `places`; `otherwise` when there is none. */
function placeBefore(places: (Position | undefined)[], otherwise: Position): Position {
  const known = places.filter((place) => place !== undefined).sort(comparePositions);
  const oldest = known[0];
  if (!oldest) return otherwise;
  return oldest.seq > 0 ? { ms: oldest.ms, seq: oldest.seq - 1 } : { ms: oldest.ms - 1, seq: 0 };
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

/** All pages up to the snapshot, in id order. False when the reader went or was overtaken by another join. */
async function replayAll(reader: Reader, join: number, plan: Plan, tools: AttachTools): Promise<boolean> {
  tellForgotten(reader, plan, reader.patterns, tools);
  let after = plan.from;
  while (plan.until === undefined || comparePositions(after, plan.until) < 0) {
    if (plan.channels.length === 0) break;
    if (!(await reader.room())) return false;
    const page = await readPage(plan, after, tools);
    if (reader.join !== join || reader.state === 'closed') return false;
    if (after === plan.from) tellForgotten(reader, plan, page.forgotten, tools);
    writePage(reader, plan, page.channels, tools);
    after = page.upto;
    if (comparePositions(after, page.until) < 0) continue;
    plan.until = page.until;
    tellTails(reader, plan, page.channels, tools);
  }
  plan.until ??= plan.clock.tip;
  return true;
}

async function readPage({ channels, clock, until }: Plan, after: Position, { redis, gate }: AttachTools) {
  const args = {
    channels,
    cursorEpoch: clock.epoch,
    after,
    pageBytes: limits.replayPageBytes,
    ...(until && { until }),
  };
  const page = await gate(() => redis.run(replay, args));
  if (!page || page.clock.epoch !== clock.epoch) throw new RedisAway('the history changed during a replay');
  return page;
}

function writePage(reader: Reader, plan: Plan, channels: readonly ReplayedChannel[], tools: AttachTools): void {
  const rows: { of: ReplayedChannel; entry: Entry; hole: Position | undefined }[] = [];
  for (const of of channels) {
    for (const entry of of.entries) {
      rows.push({ of, entry, hole: plan.chain.next(of.channel, entry.previous, entry.position) });
    }
  }
  rows.sort((a, b) => comparePositions(a.entry.position, b.entry.position));
  for (const { of, entry, hole } of rows) {
    const cutoff = plan.cutoffs?.get(of.channel);
    if (cutoff && comparePositions(entry.position, cutoff) < 0) continue;
    if (hole && !(cutoff && comparePositions(entry.position, cutoff) === 0)) {
      const older = of.older || comparePositions(hole, plan.from) > 0;
      tellGap(reader, plan, tools, of.channel, hole, entry.position, gapReason(older, true, of.lastKind));
    }
    if (entry.json === '') continue; // its own time has passed
    const frame = messageFrame(formatId(entry.epoch, entry.position), encoder.encode(entry.json));
    reader.message(frame, entry.epoch, entry.position);
    tools.metrics.replayed.inc();
  }
}

const encoder = new TextEncoder();

/** After the last page: whatever of a channel lies within the replay and was not in it. */
function tellTails(reader: Reader, plan: Plan, channels: readonly ReplayedChannel[], tools: AttachTools): void {
  for (const { channel, last, lastKind, older, link } of channels) {
    const heard = plan.chain.heard(channel);
    const end = comparePositions(last, plan.until!) > 0 ? link : last;
    if (!end || comparePositions(end, heard) <= 0) continue;
    if (plan.cutoffs && !plan.cutoffs.get(channel)) continue;
    const kept = older || comparePositions(heard, plan.from) > 0;
    tellGap(reader, plan, tools, channel, heard, undefined, gapReason(kept, false, lastKind));
    plan.chain.next(channel, heard, end);
  }
}

/** Names of which nothing is known any more, for a reader whose place is older than that. */
function tellForgotten(reader: Reader, plan: Plan, names: readonly (Channel | Pattern)[], tools: AttachTools): void {
  if (plan.cutoffs || plan.reset || comparePositions(plan.from, plan.clock.floor) >= 0) return;
  for (const name of names) {
    tellGap(reader, plan, tools, name, plan.from, undefined, 'expired');
    if (!name.includes('*')) plan.chain.next(name as Channel, plan.from, plan.clock.floor);
  }
}

function tellGap(
  reader: Reader,
  { clock }: Plan,
  { metrics }: AttachTools,
  channel: Channel | Pattern,
  after: Position,
  oldest: Position | undefined,
  reason: GapReason,
): void {
  metrics.gaps.inc({ reason });
  reader.control('gap', {
    channel,
    after: formatId(clock.epoch, after),
    oldest: oldest ? formatId(clock.epoch, oldest) : null,
    reason,
  });
}

/** The right order and places; see AttachParts. */
export const attachParts: AttachParts = {
  async attach(reader, start, tools) {
    await listen(reader, tools);
    await catchUp(reader, start, tools);
  },
  greet: (reader, id) => firstFrame(reader.retryMs, formatId(id.epoch, id)),
  until: (snapshot) => snapshot,
};
