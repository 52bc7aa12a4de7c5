import type { LimitFunction } from 'p-limit';
import { type Channel, matches } from '../shared/channel.ts';
import { Chain, type Clock, locate, type ResetReason } from '../shared/continuity.ts';
import { comparePositions, type Id, type Position, placeBefore, zero } from '../shared/id.ts';
import { limits } from '../shared/limits.ts';
import { type Redis, RedisAway } from '../shared/redis.ts';
import { probe } from '../shared/scripts/clock.ts';
import { changes, recent } from '../shared/scripts/replay.ts';
import type { Reader } from './connection.ts';
import type { SharedReads } from './shared-reads.ts';

/** Where a stream begins. */
export type Start =
  | { kind: 'now' }
  | { kind: 'resume'; cursor: Id }
  | { kind: 'malformed' }
  | { kind: 'since'; agoMs: number }
  | { kind: 'rewind'; count: number };

export interface PlanTools {
  redis: Redis;
  /** How many lists of channels are asked for at once. */
  lists: LimitFunction;
  shared: SharedReads;
  /** `[a-z0-9]{10}`, fresh for each call. */
  newSeed(): string;
  parts: { until(snapshot: Position): Position | undefined };
}

/** What is to be read: decided on one snapshot of the clock. */
export interface Plan {
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
  /** More channels changed under the patterns than are read: what of them is missing is told, not sent. */
  capped: boolean;
}

/** Decides where a reader is read on from, and from which channels. Throws RedisAway. */
export async function plotReplay(reader: Reader, start: Start, tools: PlanTools): Promise<Plan> {
  const cursor = start.kind === 'resume' ? start.cursor : undefined;
  let seen = await snapshot(reader, cursor, cursor, tools);
  let { from, reset } = begin(start, seen.clock);
  if (reader.patterns.length > 0 && start.kind !== 'now' && !(cursor && comparePositions(from, cursor) === 0)) {
    const epoch = seen.clock.epoch;
    seen = await snapshot(reader, cursor, from, tools); // the list of changed channels must reach back to where we begin
    if (seen.clock.epoch !== epoch) throw new RedisAway('the epoch changed while a place in it was looked for');
  }
  const { clock, capped } = seen;
  if (capped && cursor) {
    reset ??= 'capped';
    from = clock.tip;
  }
  const channels = capped ? reader.channels : [...new Set([...reader.channels, ...seen.channels])];
  const cutoffs = start.kind === 'rewind' ? await findCutoffs(channels, start.count, tools) : undefined;
  if (cutoffs) from = placeBeforeAll([...cutoffs.values()], clock.tip);
  const first = cursor && !reset ? cursor : { epoch: clock.epoch, ...from };
  if (reset) reader.doubts.clear();
  const until = stopOf(reader, start, clock, tools.parts);
  return { clock, from, until, first, reset, channels, chain: new Chain(from, reader.doubts), cutoffs, capped };
}

/**
 * Patterns stop where the clock stood when their channels were listed. Without them the replay may run on to wherever the
 * clock stands when its last page is read, which leaves no moment in between.
 */
function stopOf(reader: Reader, start: Start, clock: Clock, parts: PlanTools['parts']): Position | undefined {
  if (start.kind === 'now') return clock.tip;
  return reader.patterns.length > 0 ? parts.until(clock.tip) : undefined;
}

/** The clock, begun if need be, and which channels under the reader's patterns changed since `after`, if given. */
async function snapshot(
  reader: Reader,
  cursor: Id | undefined,
  after: Position | undefined,
  { redis, newSeed, lists, shared }: PlanTools,
): Promise<{ clock: Clock; channels: Channel[]; capped: boolean }> {
  const namesMax = after && reader.patterns.length > 0 ? limits.changedChannelsMax : 0;
  const prefixes = reader.patterns.map((pattern) => pattern.split('*', 1)[0]!);
  const args = { cursorEpoch: cursor?.epoch ?? '', after: namesMax > 0 ? after! : zero, prefixes, namesMax };
  const read = () => (namesMax === 0 ? redis.run(changes, args) : lists(() => redis.run(changes, args)));
  const ask = () => shared(`changes ${JSON.stringify(args)}`, read);
  let answer = await ask();
  if (!answer) {
    await redis.run(probe, { seed: newSeed() });
    answer = await ask();
  }
  if (!answer) throw new RedisAway('the clock that was just begun is gone');
  const channels = answer.channels.filter((channel) => reader.patterns.some((pattern) => matches(pattern, channel)));
  const capped = answer.capped || channels.length > limits.patternReplayChannelsMax;
  return { clock: answer.clock, channels, capped };
}

function begin(start: Start, clock: Clock): { from: Position; reset?: ResetReason } {
  switch (start.kind) {
    case 'resume':
      return locate(start.cursor, clock);
    case 'malformed':
      return { from: clock.begin, reset: 'malformed' };
    case 'since': {
      const place = placeBefore({ ms: Math.max(clock.nowMs - start.agoMs, 1), seq: 0 });
      return { from: comparePositions(place, clock.tip) < 0 ? place : clock.tip };
    }
    case 'rewind':
      return { from: zero };
    case 'now':
      return { from: clock.tip };
  }
}

async function findCutoffs(channels: readonly Channel[], count: number, { redis, lists }: PlanTools) {
  const bytesMax = Math.floor(limits.rewindBytesMax / Math.max(channels.length, 1));
  const places = channels.length > 0 ? await lists(() => redis.run(recent, { channels, count, bytesMax })) : [];
  return new Map(channels.map((channel, i) => [channel, places[i]]));
}

/** The newest place before all of `places`; `otherwise` when there is none. */
function placeBeforeAll(places: (Position | undefined)[], otherwise: Position): Position {
  const oldest = places.filter((place) => place !== undefined).sort(comparePositions)[0];
  return oldest ? placeBefore(oldest) : otherwise;
}
