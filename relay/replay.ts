import type { LimitFunction } from 'p-limit';
import type { Channel, Pattern } from '../shared/channel.ts';
import { type GapReason, gapReason } from '../shared/continuity.ts';
import { comparePositions, formatId, type Position } from '../shared/id.ts';
import { limits } from '../shared/limits.ts';
import { type Redis, RedisAway } from '../shared/redis.ts';
import { type ReplayedChannel, replay } from '../shared/scripts/replay.ts';
import type { Entry } from '../shared/scripts/replies.ts';
import { messageFrame } from '../shared/sse.ts';
import type { Reader } from './connection.ts';
import type { Metrics } from './metrics.ts';
import type { Plan } from './plan.ts';

export interface ReplayTools {
  redis: Redis;
  metrics: Metrics;
  /** How many pages of history are in memory at once. */
  gate: LimitFunction;
}

/** All pages up to the snapshot, in id order. False when the reader went or was overtaken by another join. */
export async function replayAll(reader: Reader, join: number, plan: Plan, tools: ReplayTools): Promise<boolean> {
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

async function readPage({ channels, clock, until }: Plan, after: Position, { redis, gate }: ReplayTools) {
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
function tellTails(reader: Reader, plan: Plan, channels: readonly ReplayedChannel[], tools: ReplayTools): void {
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
function tellForgotten(reader: Reader, plan: Plan, names: readonly (Channel | Pattern)[], tools: ReplayTools): void {
  if (plan.cutoffs || plan.reset || comparePositions(plan.from, plan.clock.floor) >= 0) return;
  for (const name of names) {
    tellGap(reader, plan, tools, name, plan.from, undefined, 'expired');
    if (!name.includes('*')) plan.chain.next(name as Channel, plan.from, plan.clock.floor);
  }
}

/** Tells a hole in what this reader should hear. */
export function tellGap(
  reader: Reader,
  { clock }: Plan,
  { metrics }: ReplayTools,
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
