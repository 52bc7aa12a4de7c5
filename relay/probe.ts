import type { Pulse } from '../shared/envelope.ts';
import { RedisAway } from '../shared/redis.ts';
import { probe } from '../shared/scripts/clock.ts';
import type { Log } from './log.ts';
import type { Commands } from './redis.ts';
import type { Repair } from './repair.ts';
import type { Subscriber } from './subscriber.ts';

/**
 * A round trip through the publish path and back: proves both connections, the epoch and the watermark at once, so that a
 * connection that looks healthy and is dead is seen within three seconds.
 */
export interface Probe {
  send(): void;
  /** A probe came home. */
  heard(pulse: Pulse): void;
  /** Once a second: sends one when it is due, and drops a subscription that stays silent. */
  tick(listening: boolean): void;
  ageMs(): number;
}

export interface ProbeTools {
  redis: Commands;
  subscriber: Subscriber;
  repair: Repair;
  relayId: string;
  /** Whether this relay listens by sharded pub/sub. */
  sharded: boolean;
  newSeed(): string;
  log: Log;
  now(): number;
}

const DUE_MS = 1_000;
/** Nobody listens: enough to answer `/readyz` honestly, and cheap where every command is billed. */
const IDLE_DUE_MS = 15_000;
/** Three probes unheard: the subscription is dead, whatever TCP thinks. */
const SILENCE_MS_MAX = 2_500;

export function createProbe(tools: ProbeTools): Probe {
  const { redis, subscriber, repair, relayId, sharded, newSeed, log, now } = tools;
  let heardMs = now();
  let sentMs = 0;
  /** The oldest that has not come home; 0 = none is out. */
  let outMs = 0;

  function suspect(error: unknown): void {
    if (!(error instanceof RedisAway)) log.error({ err: error }, 'Redis refused a probe');
    else if (redis.ready) redis.reset(); // it had its time; a new connection is quicker than waiting
  }

  return {
    send() {
      sentMs = now();
      outMs ||= sentMs;
      redis.run(probe, { seed: newSeed(), relayId, sharded }).catch(suspect);
    },
    heard(pulse) {
      heardMs = now();
      outMs = 0;
      repair.audit(pulse).catch(suspect);
    },
    tick(listening) {
      if (subscriber.ready && outMs > 0 && now() - outMs > SILENCE_MS_MAX) {
        log.warn('probes do not come home; the subscription is made anew');
        outMs = 0; // the new connection gets its own time
        subscriber.reset();
      }
      if (now() - sentMs >= (listening ? DUE_MS : IDLE_DUE_MS)) this.send();
    },
    ageMs: () => now() - heardMs,
  };
}
