import { RedisRefused } from '../shared/redis.ts';
import type { Log } from './log.ts';
import type { Commands } from './redis.ts';

/** What a relay that works has to say about its Redis, in `/readyz`. */
export type Warning = 'redis_evicts';

/**
 * Whether Redis throws keys away when its memory is full. A message or a channel's newest place that was evicted is a loss
 * that nobody can tell, so anything but `noeviction` is said loudly; it is no reason to refuse work.
 */
export interface Policy {
  readonly warnings: readonly Warning[];
  /** On every new connection: another server may be set otherwise. Where the answer is refused, nothing is known and said. */
  check(): void;
}

export function createPolicy(redis: () => Commands, log: Log): Policy {
  let told: string | undefined;

  async function look(): Promise<void> {
    const info = String(await redis().call('INFO', ['memory']));
    const policy = /^maxmemory_policy:(\S+)/m.exec(info)?.[1];
    const evicts = policy !== undefined && policy !== 'noeviction';
    if (evicts && told !== policy) {
      log.error(
        { policy },
        'Redis evicts keys when its memory is full, and messages are then lost without a word: set maxmemory-policy to noeviction',
      );
    }
    told = evicts ? policy : undefined;
  }

  return {
    get warnings() {
      return told === undefined ? [] : (['redis_evicts'] as const);
    },
    check() {
      look().catch((error: unknown) => {
        if (error instanceof RedisRefused) told = undefined; // away: the next connection is asked
      });
    },
  };
}
