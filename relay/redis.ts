import { createHash } from 'node:crypto';
import type { Redis as IoRedis, RedisOptions } from 'ioredis';
import type { Keys } from '../shared/keys.ts';
import { limits } from '../shared/limits.ts';
import { type Redis, RedisAway, RedisRefused, type Script } from '../shared/redis.ts';
import type { RedisAddress } from './address.ts';
import { connectPrimary } from './primary.ts';

/**
 * With `primary.ts` the only importer of ioredis. Two connections: one for commands, one in subscribe mode. The driver
 * neither queues nor resends nor resubscribes by itself: a command that may or may not have run is an unknown outcome, and
 * a subscription that was away has a hole; both are ours to answer for.
 */
const options = {
  // RESP2: its reader is a quarter faster on pub/sub than RESP3's, and generic calls keep their shapes.
  protocol: 2,
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
  autoResubscribe: false,
  maxRetriesPerRequest: 0,
  connectTimeout: 3_000,
  commandTimeout: limits.redisWaitMsMax,
  // A command was written and nothing at all came back: the connection is dead, whatever TCP thinks.
  socketTimeout: 3_000,
  keepAlive: 10_000,
  retryStrategy: (times: number) => Math.min(50 * 2 ** times, 1_000),
} as const satisfies RedisOptions;

/** Redis for ordinary commands: the port, and the raw door that `rest.ts` guards. */
export interface Commands extends Redis {
  /** Any command, answered as Redis answers. Throws RedisAway or RedisRefused. */
  call(command: string, args: readonly string[]): Promise<unknown>;
  readonly ready: boolean;
  /** Drops the connection at once, without waiting for the other side; a new one follows. */
  reset(): void;
  close(): void;
}

/** Redis in subscribe mode, bare: `subscriber.ts` gives it its meaning. */
export interface Subscription {
  /** Resolves when Redis has acknowledged. Throws RedisAway. */
  subscribe(names: readonly string[]): Promise<void>;
  unsubscribe(name: string): void;
  reset(): void;
  close(): void;
}

export interface SubscriptionEvents {
  onMessage(bytes: Uint8Array): void;
  onReady(): void;
  onLost(): void;
  /** Once per failed attempt to connect. */
  onError(error: Error): void;
}

export interface CommandEvents {
  /** Once per failed attempt to connect. */
  onError(error: Error): void;
  /** Commands can be sent, for the first time or to whoever leads now. */
  onReady?(): void;
}

/** Connects in the background and for ever. */
export function connectCommands(address: RedisAddress, keys: Keys, events: CommandEvents): Commands {
  const { redis, close } = connectPrimary(address, keys.clock, { ...options, enableAutoPipelining: true });
  redis.on('error', events.onError);
  if (events.onReady) redis.on('ready', events.onReady);
  watch(redis);
  const digests = new Map<string, string>();

  async function call(command: string, args: readonly string[]): Promise<unknown> {
    try {
      return await redis.call(command, [...args]);
    } catch (error) {
      if (leadsElsewhere(error)) redis.stream?.destroy();
      throw translate(error);
    }
  }

  return {
    call,
    get ready() {
      return redis.status === 'ready';
    },
    reset: () => redis.stream?.destroy(),
    close,
    async run<Args, Reply>(script: Script<Args, Reply>, args: Args): Promise<Reply> {
      const digest = digests.get(script.lua) ?? sha1(script.lua);
      digests.set(script.lua, digest);
      const names = script.keys(keys, args);
      const rest = [String(names.length), ...names, ...script.args(keys, args)];
      try {
        return script.reply(await call('EVALSHA', [digest, ...rest]), args);
      } catch (error) {
        // Unknown script: it never ran, so sending its text is no repetition.
        if (!(error instanceof RedisRefused) || error.kind !== 'noscript') throw error;
        return script.reply(await call('EVAL', [script.lua, ...rest]), args);
      }
    },
  };
}

/**
 * In a Cluster by sharded pub/sub, which stays with the slot's own nodes; SUBSCRIBE and SSUBSCRIBE never share a connection,
 * where the driver loses count of them. A slot that moves takes its subscriptions away: then the connection goes too.
 */
export function connectSubscription(address: RedisAddress, keys: Keys, events: SubscriptionEvents): Subscription {
  const sharded = isSharded(address);
  const { redis, close } = connectPrimary(address, keys.clock, options);
  const drop = () => redis.stream?.destroy();
  redis.on('error', events.onError);
  watch(redis);
  redis.on(sharded ? 'smessageBuffer' : 'messageBuffer', (_: Buffer, message: Buffer) => events.onMessage(message));
  redis.on('ready', events.onReady);
  redis.on('close', events.onLost);
  redis.on('moved', drop);
  return {
    async subscribe(names) {
      try {
        await (sharded ? redis.ssubscribe(...names) : redis.subscribe(...names));
      } catch (error) {
        if (leadsElsewhere(error)) drop();
        throw translate(error);
      }
    },
    // A failed UNSUBSCRIBE means the connection is gone, and the subscription with it.
    unsubscribe: (name) => void (sharded ? redis.sunsubscribe(name) : redis.unsubscribe(name)).catch(() => undefined),
    reset: drop,
    close,
  };
}

/** Whether messages come by sharded pub/sub; the scripts must then be told to SPUBLISH. */
export function isSharded(address: RedisAddress): boolean {
  return address.mode === 'cluster';
}

/** A peer that accepts and then says nothing would be waited for without end: the driver's ready check has no deadline. */
function watch(redis: IoRedis): void {
  let deadline: NodeJS.Timeout | undefined;
  redis.on('connect', () => {
    deadline = setTimeout(() => redis.stream?.destroy(), READY_MS_MAX);
  });
  for (const event of ['ready', 'close', 'end']) redis.on(event, () => clearTimeout(deadline));
}

const READY_MS_MAX = 4_000;

/** SHA-1 is Redis's own name for a script, not a protection. */
export function sha1(text: string): string {
  return createHash('sha1').update(text).digest('hex');
}

/** Another server leads: whoever stays connected here hears this for ever. */
function leadsElsewhere(error: unknown): boolean {
  return isReplyError(error) && /^(READONLY|MASTERDOWN|MOVED|CLUSTERDOWN)\b/.test(error.message);
}

/** Errors of a server that cannot answer now; nothing was changed, and the answer is for whoever can. */
const AWAY = /^(LOADING|MASTERDOWN|READONLY|MOVED|ASK|TRYAGAIN|CLUSTERDOWN|BUSY|NOREPLICAS)\b/;

/** Redis's own errors begin with an upper-case word; everything else means that its answer is not known. */
function translate(error: unknown): Error {
  return isReplyError(error) && !AWAY.test(error.message) ? new RedisRefused(error.message) : new RedisAway(error);
}

function isReplyError(error: unknown): error is Error {
  return error instanceof Error && error.name === 'ReplyError';
}
