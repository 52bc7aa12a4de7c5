import { randomInt } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { Grant } from '../shared/grant.ts';
import type { Id } from '../shared/id.ts';
import { limits } from '../shared/limits.ts';
import { RedisAway } from '../shared/redis.ts';
import { type AttachTools, unlisten } from './attach.ts';
import { Reader, type Sink } from './connection.ts';
import type { Log } from './log.ts';
import type { StreamRequest } from './stream.ts';

/** What happens to an accepted stream's socket. */
export interface SocketEvents {
  gone(): void;
  /** Something is queued and not a byte of it moved for the stall limit. */
  stalled(): void;
}

/** Readers whose join failed and that are tried again at one tick: the rest waits for the next, so that Redis gets air. */
const REJOINS_PER_TICK = 500;

/** Every open stream of one relay: takes them in, brings them up to date, watches over them, sends them away. */
export class Readers {
  readonly #tools: AttachTools;
  readonly #log: Log;
  readonly #newId: () => string;
  readonly #all = new Set<Reader>();
  /** Greeted readers whose join failed for want of Redis: they have done nothing wrong, and lose nothing by waiting. */
  readonly #stranded = new Set<Reader>();

  constructor(tools: AttachTools, log: Log, newId: () => string) {
    this.#tools = tools;
    this.#log = log;
    this.#newId = newId;
  }

  get size(): number {
    return this.#all.size;
  }

  /** `onClosed` is called once, whatever ends the stream. */
  accept(sink: Sink, request: StreamRequest, onClosed: () => void): SocketEvents {
    const { channels, patterns, grant, start } = request;
    const about = { id: this.#newId(), channels, patterns, grant, retryMs: retryMs() };
    const reader = new Reader(sink, about, Date.now);
    const { metrics } = this.#tools;
    this.#all.add(reader);
    reader.onGap = (reason) => metrics.gaps.inc({ reason });
    reader.onSlow = () => {
      metrics.slow.inc();
      this.#rejoin(reader);
    };
    reader.onClosed = (reason) => {
      metrics.closed.inc({ reason });
      this.#all.delete(reader);
      this.#stranded.delete(reader);
      unlisten(reader, this.#tools);
      onClosed();
    };
    this.#run(reader, this.#tools.parts.attach(reader, start, this.#tools));
    return { gone: () => reader.close('client'), stalled: () => reader.close('stalled') };
  }

  /** Ends the streams of those who may no longer read. */
  revoke(revoked: (grant: Grant) => boolean): void {
    for (const reader of this.#all) if (revoked(reader.grant)) reader.close('revoked');
  }

  /** Every reader decides for itself, from its own cursor, what it must be told and sent. */
  rejoinAll(): void {
    this.#stranded.clear();
    for (const reader of this.#all) {
      reader.beginJoin(); // at once: nothing may be delivered between here and the join's own first step
      this.#rejoin(reader);
    }
  }

  /** From where it stands. One that stands nowhere yet has its own attach under way, which begins anew. */
  #rejoin(reader: Reader): void {
    if (reader.cursor) this.#run(reader, this.#tools.parts.rejoin(reader, this.#tools));
  }

  #run(reader: Reader, join: Promise<void>): void {
    join.catch((error: unknown) => {
      if (reader.state === 'closed') return;
      if (!(error instanceof RedisAway)) this.#log.error({ err: error, connectionId: reader.id }, 'a join failed');
      else if (reader.greeted) this.#stranded.add(reader);
      if (!this.#stranded.has(reader)) reader.close('redis');
    });
  }

  /** About once a second. `watermark`: undefined while it is in doubt; `ready`: whether a join can succeed now. */
  tick(watermark: Id | undefined, heartbeatMs: number, ready: boolean): void {
    for (const reader of this.#all) reader.tick(watermark, heartbeatMs);
    if (!ready) return;
    for (const reader of [...this.#stranded].slice(0, REJOINS_PER_TICK)) {
      this.#stranded.delete(reader);
      this.#rejoin(reader);
    }
  }

  /** Says `bye` in slices over `drainMs`, each reader with its own time to come back, so that no crowd moves at once. */
  async drain(drainMs: number): Promise<void> {
    const readers = [...this.#all];
    const slices = Math.max(1, Math.min(50, readers.length));
    for (let i = 0; i < slices; i++) {
      for (let r = i; r < readers.length; r += slices) readers[r]!.close('drain', retryMs());
      if (i < slices - 1) await pause(drainMs / slices);
    }
    await pause(Math.min(drainMs, 100)); // what was written last leaves with the event loop's next turns
  }
}

/** When a client should come back: drawn anew each time. */
export function retryMs(): number {
  return randomInt(limits.retryMsMin, limits.retryMsMax);
}
