import type { LimitFunction } from 'p-limit';
import type { Channel, Pattern } from '../shared/channel.ts';
import { gapReason } from '../shared/continuity.ts';
import { isOneLine } from '../shared/envelope.ts';
import { comparePositions, formatId, type Position, placeBefore } from '../shared/id.ts';
import { limits } from '../shared/limits.ts';
import { type Redis, RedisAway } from '../shared/redis.ts';
import { type Replayed, type ReplayedChannel, replay } from '../shared/scripts/replay.ts';
import type { Entry } from '../shared/scripts/replies.ts';
import { messageFrame } from '../shared/sse.ts';
import type { Reader } from './connection.ts';
import type { Metrics } from './metrics.ts';
import type { Plan } from './plan.ts';

export interface ReplayTools {
  redis: Redis;
  metrics: Metrics;
  /** How many pages of history are in memory at once. */
  pages: LimitFunction;
}

/**
 * All pages, in id order. Answers the place up to which the reader now has everything; undefined when it went or was
 * overtaken by another join. Throws RedisAway.
 */
export async function replayAll(
  reader: Reader,
  join: number,
  plan: Plan,
  tools: ReplayTools,
): Promise<Position | undefined> {
  tellCapped(reader, plan);
  tellForgotten(reader, plan, reader.patterns);
  let after = plan.from;
  while (plan.channels.length > 0 && (!plan.until || comparePositions(after, plan.until) < 0)) {
    if (!(await reader.room())) return undefined;
    const page = await readPage(plan, after, tools);
    if (reader.join !== join || reader.state === 'closed') return undefined;
    if (after === plan.from) tellForgotten(reader, plan, page.forgotten);
    writePage(reader, plan, page.channels, tools);
    tellTails(reader, plan, page);
    after = page.upto;
    if (comparePositions(after, page.until) >= 0) return page.until;
  }
  return plan.until ?? plan.clock.tip;
}

async function readPage({ channels, clock, until, cutoffs }: Plan, after: Position, { redis, pages }: ReplayTools) {
  const starts =
    cutoffs && channels.map((channel) => cutoffs.get(channel)).map((cutoff) => cutoff && placeBefore(cutoff));
  const page = await pages(() =>
    redis.run(replay, {
      channels,
      cursorEpoch: clock.epoch,
      after,
      pageBytes: limits.replayPageBytes,
      ...(until && { until }),
      ...(starts && { starts }),
    }),
  );
  if (!page || page.clock.epoch !== clock.epoch) throw new RedisAway('the history changed during a replay');
  return page;
}

function writePage(reader: Reader, plan: Plan, channels: readonly ReplayedChannel[], tools: ReplayTools): void {
  const rows: { of: ReplayedChannel; entry: Entry; hole: Position | undefined }[] = [];
  for (const of of channels) {
    for (const entry of of.entries) {
      rows.push({ of, entry, hole: plan.chain.next(of.channel, entry.previous, entry.position) });
    }
  }
  rows.sort((a, b) => comparePositions(a.entry.position, b.entry.position));
  for (const { of, entry, hole } of rows) {
    const cutoff = plan.cutoffs?.get(of.channel);
    if (hole && !(cutoff && comparePositions(entry.position, cutoff) <= 0)) {
      const older = of.older || comparePositions(hole, plan.from) > 0;
      reader.gap(of.channel, hole, entry.position, gapReason(older, true, of.lastKind), plan.clock.epoch);
    }
    if (entry.json === '') continue; // its own time has passed
    if (!isOneLine(entry.json)) {
      tools.metrics.malformed.inc(); // not our script's work; as a frame it could forge others
      reader.gap(of.channel, entry.previous, undefined, 'trimmed', plan.clock.epoch);
      continue;
    }
    const frame = messageFrame(formatId(entry.epoch, entry.position), encoder.encode(entry.json));
    reader.message(frame, entry.epoch, entry.position);
    tools.metrics.replayed.inc();
  }
}

const encoder = new TextEncoder();

/** After a page: whatever of a channel lies within it, by what is known of its newest message, and was not in it. */
function tellTails(reader: Reader, plan: Plan, { channels, upto, until }: Replayed): void {
  for (const { channel, last, lastKind, older, link } of channels) {
    const heard = plan.chain.heard(channel);
    const end = comparePositions(last, upto) <= 0 ? last : comparePositions(upto, until) === 0 ? link : undefined;
    if (!end && !plan.cutoffs && comparePositions(upto, until) === 0) plan.chain.doubt(channel);
    if (!end || comparePositions(end, heard) <= 0) continue;
    if (plan.cutoffs && !plan.cutoffs.get(channel)) continue;
    const kept = older || comparePositions(heard, plan.from) > 0;
    reader.gap(channel, heard, undefined, gapReason(kept, false, lastKind), plan.clock.epoch);
    plan.chain.next(channel, heard, end);
  }
}

/** A start in the past under patterns that match too much: their channels begin now. A resume is told by `reset`. */
function tellCapped(reader: Reader, plan: Plan): void {
  if (!plan.capped || plan.reset) return;
  for (const pattern of reader.patterns) reader.gap(pattern, plan.from, undefined, 'trimmed', plan.clock.epoch);
}

/** Names of which nothing is known any more, for a reader whose place is older than that. */
function tellForgotten(reader: Reader, plan: Plan, names: readonly (Channel | Pattern)[]): void {
  if (plan.cutoffs || plan.reset || comparePositions(plan.from, plan.clock.floor) >= 0) return;
  for (const name of names) {
    reader.gap(name, plan.from, undefined, 'expired', plan.clock.epoch);
    if (!name.includes('*')) plan.chain.next(name as Channel, plan.from, plan.clock.floor);
  }
}
