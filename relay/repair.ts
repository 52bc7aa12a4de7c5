import type { Channel } from '../shared/channel.ts';
import { type GapReason, gapReason } from '../shared/continuity.ts';
import { isOneLine, type Pulse } from '../shared/envelope.ts';
import { comparePositions, type Position } from '../shared/id.ts';
import { limits } from '../shared/limits.ts';
import { type Redis, RedisAway } from '../shared/redis.ts';
import { audit, probe } from '../shared/scripts/clock.ts';
import { changes, endOf, type Replayed, type ReplayedChannel, replay } from '../shared/scripts/replay.ts';
import type { Hole, Hub } from './hub.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';

export interface RepairTools {
  redis: Redis;
  hub: Hub;
  metrics: Metrics;
  log: Log;
  newSeed(): string;
  /** Whether the subscription is whole: while it is not, there is nothing to come up to. */
  whole(): boolean;
  /** Lets every reader decide for itself, from its own cursor. */
  rejoinAll(): void;
  pause(ms: number): Promise<unknown>;
}

/** Brings readers what pub/sub did not, from history, in place: they stay connected and notice a delay. */
export interface Repair {
  /** The subscription was away and is whole again. */
  outage(): void;
  /** One channel's chain is broken. */
  hole(hole: Hole): void;
  /** A probe came home: compares what was heard with what Redis knows to have sent. */
  audit(pulse: Pulse): Promise<void>;
}

/** How long to wait before asking a Redis again that did not answer. */
const RETRY_MS = 250;

export function createRepair(tools: RepairTools): Repair {
  const { hub, metrics, log } = tools;
  let outage = false;
  let holes: Hole[] = [];
  let working = false;

  /** One at a time; whatever is asked for meanwhile is done before the hub lets go. */
  async function work(): Promise<void> {
    if (working) return;
    working = true;
    try {
      while (hub.holding && tools.whole()) {
        try {
          await mend();
          if (!outage && holes.length === 0 && !hub.release()) outage = true;
        } catch (error) {
          if (!(error instanceof RedisAway)) throw error;
          await tools.pause(RETRY_MS);
        }
      }
    } catch (error) {
      log.error({ err: error }, 'a repair failed; every reader reads on for itself');
      tools.rejoinAll();
      hub.release();
    } finally {
      working = false;
    }
  }

  async function mend(): Promise<void> {
    if (outage) {
      await mendOutage(tools);
      metrics.repairs.inc({ kind: 'outage' });
      outage = false;
      holes = [];
    }
    for (let hole = holes[0]; hole; hole = holes[0]) {
      await refill([hole.channel], hole.after, hole.last, tools);
      // Neither history nor what follows there knows of it: it was not kept.
      if (comparePositions(hub.heard(hole.channel), hole.last) < 0) hub.writeOff(hole, 'not-kept');
      metrics.repairs.inc({ kind: 'hole' });
      holes.shift();
    }
  }

  return {
    outage() {
      outage = true;
      hub.hold();
      void work();
    },
    hole(hole) {
      holes.push(hole);
      hub.hold();
      void work();
    },
    async audit({ epoch, tip }) {
      if (hub.holding || hub.epoch !== epoch) return;
      const answer = await tools.redis.run(audit, { after: hub.proven, namesMax: limits.changedChannelsMax });
      if (hub.holding || hub.epoch !== epoch || !answer) return;
      // Too much to compare: what is not compared now must not pile up. The chain goes on, from here.
      if (answer.length > limits.changedChannelsMax) {
        metrics.unaudited.inc();
        hub.prove(tip, []);
        return;
      }
      const unproven: Channel[] = [];
      for (const { channel, last } of answer) {
        const after = hub.heard(channel);
        if (comparePositions(last, tip) > 0)
          unproven.push(channel); // may be under way still
        else if (comparePositions(last, after) > 0 && hub.needed(channel, last)) this.hole({ channel, after, last });
      }
      if (!hub.holding) hub.prove(tip, unproven);
    },
  };
}

/** Everything that changed since what was last proven, for whoever listens here. */
async function mendOutage(tools: RepairTools): Promise<void> {
  const { redis, hub } = tools;
  const from = hub.proven;
  const args = { cursorEpoch: '', after: from, prefixes: [''], namesMax: limits.changedChannelsMax };
  let answer = await redis.run(changes, args);
  if (!answer) {
    await redis.run(probe, { seed: tools.newSeed() });
    answer = await redis.run(changes, args);
  }
  if (!answer) throw new RedisAway('the clock that was just begun is gone');
  const { clock } = answer;
  if (clock.epoch !== hub.epoch) return hub.pulse(clock);
  const heard = answer.channels.filter((channel) => hub.hears(channel));
  if (answer.capped || heard.length > limits.patternReplayChannelsMax) {
    tools.rejoinAll();
    hub.prove(clock.tip, []);
  } else {
    hub.prove(clock.tip, heard.length > 0 ? await refill(heard, from, clock.tip, tools) : []);
  }
}

/**
 * Pages of history, in id order, to whoever has not heard them. What history has no more is told as a gap. Answers the
 * channels of which that is not known: something newer came meanwhile, whose link will tell.
 */
async function refill(
  channels: readonly Channel[],
  from: Position,
  until: Position,
  tools: RepairTools,
): Promise<Channel[]> {
  const { redis, hub } = tools;
  let unproven: Channel[] = [];
  for (let after = from; comparePositions(after, until) < 0; ) {
    const page = await redis.run(replay, {
      channels,
      cursorEpoch: '',
      after,
      until,
      pageBytes: limits.replayPageBytes,
    });
    if (!page || page.clock.epoch !== hub.epoch) throw new RedisAway('the history changed during a repair');
    redeliver(page.channels, from, page.clock.epoch, tools);
    unproven = writeOffTails(page, from, tools);
    after = page.upto;
  }
  return unproven;
}

function redeliver(channels: readonly ReplayedChannel[], from: Position, epoch: string, tools: RepairTools): void {
  const { hub, metrics } = tools;
  const rows = channels.flatMap((of) => of.entries.map((entry) => ({ of, entry })));
  rows.sort((a, b) => comparePositions(a.entry.position, b.entry.position));
  for (const { of, entry } of rows) {
    const { channel } = of;
    const heard = hub.heard(channel);
    if (comparePositions(entry.previous, heard) > 0) {
      const older = of.older || comparePositions(heard, from) > 0;
      hub.writeOff({ channel, after: heard, last: entry.previous }, gapReason(older, true, of.lastKind));
    }
    if (entry.json === '' || !isOneLine(entry.json))
      hub.skip(channel, entry.position); // its own time has passed, or it is not our script's work
    else if (hub.redeliver({ ...entry, epoch, channel, json: encoder.encode(entry.json) })) metrics.repaired.inc();
  }
}

const encoder = new TextEncoder();

function writeOffTails(page: Replayed, from: Position, { hub }: RepairTools): Channel[] {
  const unproven: Channel[] = [];
  for (const of of page.channels) {
    const { channel, lastKind, older } = of;
    const heard = hub.heard(channel);
    const end = endOf(of, page);
    if (!end) unproven.push(channel);
    if (!end || comparePositions(end, heard) <= 0) continue;
    const reason: GapReason = gapReason(older || comparePositions(heard, from) > 0, false, lastKind);
    hub.writeOff({ channel, after: heard, last: end }, reason);
  }
  return unproven;
}
