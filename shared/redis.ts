import type { Keys } from './keys.ts';

/**
 * One promise, one script. `name` is for logs and metrics; `lua` runs atomically; the three functions are the only
 * way in and out of it. Keys and args are strings, so that the same script goes over TCP and over JSON REST.
 */
export interface Script<Args, Reply> {
  readonly name: string;
  readonly lua: string;
  keys(keys: Keys, args: Args): string[];
  args(keys: Keys, args: Args): string[];
  reply(raw: unknown, args: Args): Reply;
}

/**
 * The port to Redis: run a script, no more. Two adapters: `edge/redis.ts` (REST) and `relay/redis.ts` (TCP), one
 * conformance suite. EVALSHA first, EVAL after NOSCRIPT (which never executed, so this is safe).
 * Throws RedisAway when the answer is unknown, RedisRefused when Redis answered with an error.
 */
export interface Redis {
  run<Args, Reply>(script: Script<Args, Reply>, args: Args): Promise<Reply>;
}

/** Redis did not answer in time, or cannot be reached. Whether the script ran is not known. */
export class RedisAway extends Error {
  constructor(cause: unknown) {
    super('Redis did not answer', { cause });
    this.name = 'RedisAway';
  }
}

/** Redis answered with an error; our scripts then have changed nothing. */
export class RedisRefused extends Error {
  readonly kind: RefusedKind;
  constructor(message: string) {
    super(message);
    this.name = 'RedisRefused';
    this.kind = refusedKind(message);
  }
}

export type RefusedKind = 'revoked' | 'limited' | 'wrongtype' | 'oom' | 'noscript' | 'other';

/** The kind of a Redis error by its first word; scripts prefix theirs with `ERR Error running script` in old servers. */
export function refusedKind(message: string): RefusedKind {
  if (message.startsWith('REVOKED')) return 'revoked';
  if (message.startsWith('LIMITED')) return 'limited';
  if (message.includes('WRONGTYPE')) return 'wrongtype';
  if (message.includes('OOM ')) return 'oom';
  if (message.includes('NOSCRIPT')) return 'noscript';
  return 'other';
}
