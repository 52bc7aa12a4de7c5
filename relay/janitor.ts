import { type Redis, RedisAway } from '../shared/redis.ts';
import { longestKeepMs, type RetentionRule } from '../shared/retention.ts';
import { forget } from '../shared/scripts/clock.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';

export interface JanitorTools {
  redis: Redis;
  metrics: Metrics;
  log: Log;
  relayId: string;
  retention: readonly RetentionRule[];
  /** About how often. */
  everyMs: number;
  /** Rejects when `signal` is aborted. */
  pause(ms: number, signal: AbortSignal): Promise<unknown>;
  /** From 0 to 1. */
  random(): number;
}

/** Some 2 ms of Redis's time. */
const CHANNELS_PER_RUN = 1_000;
/** Ends of earlier epochs that stay known: restarts and failovers of Redis, years of them on a sound server. */
const FORKS_MAX = 100;
/** Longer than a run and its pause, so that a relay at work keeps its place; short, so that a dead one leaves it soon. */
const LEASE_MS = 5_000;
/** Between two runs others have Redis for themselves. */
const BREATH_MS = 20;

/**
 * Drops what is known of channels that were quiet for twice the longest that anything is kept, so that `last` and `index`
 * do not hold every name ever used. Runs until `signal` is aborted; one relay at a time, by a lease in Redis.
 */
export async function runJanitor(tools: JanitorTools, signal: AbortSignal): Promise<void> {
  const { everyMs, pause, random, log } = tools;
  while (!signal.aborted) {
    try {
      await pause(everyMs * (0.5 + random()), signal);
      await clean(tools, signal);
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof RedisAway)) log.error({ err: error }, 'quiet channels could not be dropped');
    }
  }
}

/** Run after run until nothing is left to drop, or another relay is at it. */
async function clean({ redis, metrics, relayId, retention, pause }: JanitorTools, signal: AbortSignal): Promise<void> {
  const args = {
    holder: relayId,
    leaseMs: LEASE_MS,
    quietMs: 2 * longestKeepMs(retention),
    channelsMax: CHANNELS_PER_RUN,
    forksMax: FORKS_MAX,
  };
  for (;;) {
    const names = await redis.run(forget, args);
    metrics.forgotten.inc(names?.length ?? 0);
    if ((names?.length ?? 0) < CHANNELS_PER_RUN) return;
    await pause(BREATH_MS, signal);
  }
}
