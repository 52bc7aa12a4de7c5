import type { LimitFunction } from 'p-limit';
import type { Channel, Pattern } from '../shared/channel.ts';
import { gapReason } from '../shared/continuity.ts';
import { isOneLine } from '../shared/envelope.ts';
import { comparePositions, formatId, type Position, placeBefore } from '../shared/id.ts';
import { limits } from '../shared/limits.ts';
import { type Redis, RedisAway } from '../shared/redis.ts';
import { endOf, type Replayed, type ReplayedChannel, replay } from '../shared/scripts/replay.ts';
import type { Entry } from '../shared/scripts/replies.ts';
import { messageFrame } from '../shared/sse.ts';
import type { Reader } from './connection.ts';
import type { Metrics } from './metrics.ts';
import type { Plan } from './plan.ts';
import type { SharedReads } from './shared-reads.ts';

export interface ReplayTools {
  redis: Redis;
  metrics: Metrics;
  /** How many pages of history are in memory at once. */
  pages: LimitFunction;
  shared: SharedReads;
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
    writePage(reader, plan, page, tools);
    tellTails(reader, plan, page);
    after = page.upto;
    if (comparePositions(after, page.until) >= 0) return page.until;
  }
  return plan.until ?? plan.clock.tip;
}

async function readPage(
  { channels, clock, until, cutoffs }: Plan,
  after: Position,
  { redis, pages, shared }: ReplayTools,
) {
  const starts =
    cutoffs && channels.map((channel) => cutoffs.get(channel)).map((cutoff) => cutoff && placeBefore(cutoff));
  const asked = {
    channels,
    cursorEpoch: clock.epoch,
    after,
    pageBytes: limits.replayPageBytes,
    ...(until && { until }),
    ...(starts && { starts }),
  };
  const page = await shared(`replay ${JSON.stringify(asked)}`, () => pages(() => redis.run(replay, asked)));
  if (!page || page.clock.epoch !== clock.epoch) throw new RedisAway('the history changed during a replay');
  return page;
}

interface Row {
  of: ReplayedChannel;
  entry: Entry;
  /** Absent: its own time has passed. `malformed`: not our script's work; as a frame it could forge others. */
  frame: Uint8Array | 'malformed' | undefined;
}

/** Readers that share a page share its frames. */
interface Sheet {
  rows: Row[];
  /** All of it as one, for readers to whom nothing is to be said in between. */
  whole: Uint8Array;
}

const sheets = new WeakMap<Replayed, Sheet>();

function sheetOf(page: Replayed): Sheet {
  const made = sheets.get(page);
  if (made) return made;
  const rows = page.channels.flatMap((of) => of.entries.map((entry) => ({ of, entry, frame: frameOf(entry) })));
  rows.sort((a, b) => comparePositions(a.entry.position, b.entry.position));
  const whole = Buffer.concat(rows.flatMap(({ frame }) => (frame instanceof Uint8Array ? [frame] : [])));
  const sheet = { rows, whole };
  sheets.set(page, sheet);
  return sheet;
}

const encoder = new TextEncoder();

function frameOf({ epoch, position, json }: Entry): Row['frame'] {
  if (json === '') return undefined;
  return isOneLine(json) ? messageFrame(formatId(epoch, position), encoder.encode(json)) : 'malformed';
}

function writePage(reader: Reader, plan: Plan, page: Replayed, { metrics }: ReplayTools): void {
  const { rows, whole } = sheetOf(page);
  const holes = rows.map(({ of, entry }) => {
    const hole = plan.chain.next(of.channel, entry.previous, entry.position);
    const cutoff = plan.cutoffs?.get(of.channel);
    return hole && cutoff && comparePositions(entry.position, cutoff) <= 0 ? undefined : hole;
  });
  const sent = rows.filter(({ frame }) => frame instanceof Uint8Array);
  metrics.replayed.inc(sent.length);
  const last = sent.at(-1)?.entry;
  if (last && !holes.some((hole) => hole) && !rows.some(({ frame }) => frame === 'malformed')) {
    reader.message(whole, last.epoch, last.position);
    return;
  }
  for (const [i, { of, entry, frame }] of rows.entries()) {
    const hole = holes[i];
    if (hole) {
      const older = of.older || comparePositions(hole, plan.from) > 0;
      reader.gap(of.channel, hole, entry.position, gapReason(older, true, of.lastKind), plan.clock.epoch);
    }
    if (frame === 'malformed') {
      metrics.malformed.inc();
      reader.gap(of.channel, entry.previous, undefined, 'trimmed', plan.clock.epoch);
    } else if (frame) {
      reader.message(frame, entry.epoch, entry.position);
    }
  }
}

/** After a page: whatever of a channel lies within it, by what is known of its newest message, and was not in it. */
function tellTails(reader: Reader, plan: Plan, page: Replayed): void {
  for (const of of page.channels) {
    const { channel, lastKind, older } = of;
    const heard = plan.chain.heard(channel);
    const end = endOf(of, page);
    if (!end && !plan.cutoffs && comparePositions(page.upto, page.until) === 0) plan.chain.doubt(channel);
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
