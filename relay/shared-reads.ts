/** Gives `read()`, or that of somebody who asked with the same key. */
export type SharedReads = <Answer>(key: string, read: () => Promise<Answer>) => Promise<Answer>;

interface Flight {
  next: { promise: Promise<unknown>; begin(): Promise<unknown> } | undefined;
}

/** Reads of one key begin no closer than this: a crowd costs Redis 40 of them a second, and one reader alone waits for none. */
const APART_MS = 25;

/**
 * Reads that many ask for at once are made once: thousands of readers whose relay died come to another from the same place.
 * Nobody is given a read that began before it asked, so each answer is as fresh as its own would have been: a replay that
 * ends where the clock stood still reaches past the moment from which its reader hears live messages. Nothing is kept: an
 * answer lives as long as those who asked for it hold it. A failure is the failure of all who shared it.
 */
export function createSharedReads(pause: (ms: number) => Promise<unknown>): SharedReads {
  const flights = new Map<string, Flight>();

  async function follow(key: string, flight: Flight, first: Promise<unknown>): Promise<void> {
    for (let current = first; ; ) {
      await Promise.allSettled([current, pause(APART_MS)]);
      const { next } = flight;
      if (!next) break;
      flight.next = undefined;
      current = next.begin();
    }
    flights.delete(key);
  }

  return function shared<Answer>(key: string, read: () => Promise<Answer>): Promise<Answer> {
    const flight = flights.get(key);
    if (!flight) {
      const made: Flight = { next: undefined };
      flights.set(key, made);
      const first = read();
      void follow(key, made, first);
      return first;
    }
    if (!flight.next) {
      const { promise, resolve, reject } = Promise.withResolvers<Answer>();
      flight.next = {
        promise,
        begin() {
          read().then(resolve, reject);
          return promise;
        },
      };
    }
    return flight.next.promise as Promise<Answer>;
  };
}
