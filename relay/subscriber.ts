import type { Keys } from '../shared/keys.ts';
import { RedisAway } from '../shared/redis.ts';
import type { RedisAddress } from './address.ts';
import { connectSubscription, type Subscription } from './redis.ts';

/** Which Redis names this relay listens to: one subscription per name, whatever the number of readers behind it. */
export interface Subscriber {
  /** Whether every held name is acknowledged on a living connection. */
  readonly ready: boolean;
  /** Listen to a name; resolves when Redis has acknowledged it. Rejects with RedisAway. Each hold needs its release. */
  hold(name: string): Promise<void>;
  release(name: string): void;
  /** Drops a connection that is suspected to be dead; `onLost` follows, and a new one. */
  reset(): void;
  close(): void;
}

export interface SubscriberEvents {
  onMessage(bytes: Uint8Array): void;
  /** The connection is gone: from here on something may be missed. */
  onLost(): void;
  /** Every name is acknowledged, for the first time or again after a loss: what was missed is in history by now. */
  onWhole(again: boolean): void;
  onError(error: Error): void;
}

interface Held {
  holders: number;
  /** After a loss: of the connection that is to come. */
  acknowledged: Promise<void>;
}

/** Names per SUBSCRIBE after a reconnect: one command of some 20 KB, so Redis serves others in between. */
const NAMES_PER_COMMAND = 500;

/** `ownNames` are always held, so that the connection never leaves subscribe mode and probes have a way home. */
export function createSubscriber(
  address: RedisAddress,
  keys: Keys,
  ownNames: readonly string[],
  events: SubscriberEvents,
): Subscriber {
  const held = new Map<string, Held>();
  let connected = false;
  let ready = false;
  let whole = Promise.withResolvers<void>();
  let again = false;
  const connection: Subscription = connectSubscription(address, keys, {
    onMessage: events.onMessage,
    onReady: () => void restore(),
    onLost() {
      connected = false;
      if (!ready) return;
      ready = false;
      whole = Promise.withResolvers();
      for (const entry of held.values()) entry.acknowledged = whole.promise;
      events.onLost();
    },
    onError: events.onError,
  });

  function subscribe(name: string): Promise<void> {
    const acknowledged = connected ? connection.subscribe([name]) : Promise.reject(new RedisAway('not connected'));
    acknowledged.catch(() => undefined); // every holder awaits it; without one it must not be an unhandled rejection
    return acknowledged;
  }

  /** Subscribes to everything held. A name that is taken up anew meanwhile has its own acknowledgement. */
  async function restore(): Promise<void> {
    connected = true;
    const names = [...held.keys()];
    try {
      for (let i = 0; i < names.length; i += NAMES_PER_COMMAND) {
        await connection.subscribe(names.slice(i, i + NAMES_PER_COMMAND));
      }
    } catch (error) {
      events.onError(error as Error);
      connection.reset(); // whether it broke or was only too slow: the next `ready` starts over
      return;
    }
    for (const name of names) if (!held.has(name)) connection.unsubscribe(name); // released meanwhile
    ready = true;
    whole.resolve();
    events.onWhole(again);
    again = true;
  }

  for (const name of ownNames) held.set(name, { holders: 1, acknowledged: Promise.resolve() });

  return {
    get ready() {
      return ready;
    },
    hold(name) {
      const entry = held.get(name);
      if (entry) {
        entry.holders++;
        return connected ? entry.acknowledged : Promise.reject(new RedisAway('not connected'));
      }
      const acknowledged = subscribe(name);
      held.set(name, { holders: 1, acknowledged });
      return acknowledged;
    },
    release(name) {
      const entry = held.get(name);
      if (!entry || --entry.holders > 0) return;
      held.delete(name);
      if (connected) connection.unsubscribe(name);
    },
    reset: () => connection.reset(),
    close: () => connection.close(),
  };
}
