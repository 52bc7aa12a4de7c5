import type { Channel, Pattern } from '../shared/channel.ts';
import { type CloseReason, closeReasons } from '../shared/close.ts';
import type { Chain, GapReason } from '../shared/continuity.ts';
import type { Envelope } from '../shared/envelope.ts';
import type { Grant } from '../shared/grant.ts';
import { comparePositions, formatId, type Id, type Position, zero } from '../shared/id.ts';
import { limits } from '../shared/limits.ts';
import { type ControlEvent, controlFrame, idFrame, messageFrame, retryFrame } from '../shared/sse.ts';
import type { Delivery, Hearer, Hole } from './hub.ts';

/** Where one reader's bytes go: a socket, seen from here. Knows nothing of HTTP. */
export interface Sink {
  /** Queues bytes. `flushed` is called when they have left this process. */
  write(bytes: Uint8Array, flushed: () => void): void;
  /** What is queued in this process. */
  readonly pendingBytes: number;
  /** Ends after what is queued has left. */
  end(): void;
  /** Ends now. */
  destroy(): void;
}

/**
 * joining: its replay runs, live messages wait in the buffer. live: they go straight out. slow: too much is queued, so
 * nothing more is held for it; when it has drained it joins again, from its cursor. closed: over.
 */
export type ReaderState = 'joining' | 'live' | 'slow' | 'closed';

/** One open stream. Frames leave it in id order over all its channels, because it has one cursor. */
export class Reader implements Hearer {
  readonly id: string;
  readonly channels: readonly Channel[];
  readonly patterns: readonly Pattern[];
  readonly grant: Grant;
  readonly retryMs: number;
  state: ReaderState = 'joining';
  /** Its place: the newest id that was written to it. */
  cursor: Id | undefined;
  /** Whether the first block and `open` have been written. */
  greeted = false;
  /** See Chain: places after which something may be missing in a channel. */
  readonly doubts = new Map<Channel, Position>();
  /** Counts joins: whoever finds another number than its own was overtaken and stops. */
  join = 0;
  onGap: (reason: GapReason) => void = () => undefined;
  onSlow: () => void = () => undefined;
  onClosed: (reason: CloseReason) => void = () => undefined;

  readonly #sink: Sink;
  #floor: Position = zero;
  #buffer: Delivery[] = [];
  #bufferBytes = 0;
  #overflowed = false;
  #lastWriteMs: number;
  #waiting: (() => void)[] = [];
  readonly #now: () => number;
  readonly #flushed = () => {
    if (this.#waiting.length > 0 && this.#sink.pendingBytes <= limits.outboxResumeBytes) this.#wake();
  };

  constructor(
    sink: Sink,
    about: { id: string; channels: Channel[]; patterns: Pattern[]; grant: Grant; retryMs: number },
    now: () => number,
  ) {
    this.#sink = sink;
    this.id = about.id;
    this.channels = about.channels;
    this.patterns = about.patterns;
    this.grant = about.grant;
    this.retryMs = about.retryMs;
    this.#now = now;
    this.#lastWriteMs = now();
  }

  get pendingBytes(): number {
    return this.#sink.pendingBytes;
  }

  /** A live message. Whether it is written, held or left to history is decided by the state alone. */
  offer(delivery: Delivery): void {
    if (this.state === 'live') {
      const { epoch, position, json } = delivery.envelope;
      if (comparePositions(position, this.#floor) <= 0) return; // its replay had it
      if (this.doubts.size > 0) this.#resolve(delivery.envelope);
      // Found late: other channels moved the cursor past it, and a cursor never moves back.
      const late = this.cursor !== undefined && comparePositions(position, this.cursor) <= 0;
      if (late) this.write(messageFrame(formatId(this.cursor!.epoch, this.cursor!), json));
      else this.message(delivery.frame, epoch, position);
      if (this.#sink.pendingBytes > limits.outboxBytesMax) this.#slow();
    } else if (this.state === 'joining') {
      this.#hold(delivery);
    }
  }

  #resolve({ channel, previous, position, epoch }: Envelope): void {
    const heard = this.doubts.get(channel);
    if (heard && comparePositions(previous, heard) > 0) this.gap(channel, heard, position, 'not-kept', epoch);
    this.doubts.delete(channel);
  }

  #hold(delivery: Delivery): void {
    if (this.#overflowed) return;
    this.#bufferBytes += delivery.frame.length;
    if (this.#bufferBytes <= limits.joinBufferBytesMax) {
      this.#buffer.push(delivery);
      return;
    }
    this.#overflowed = true; // history has them all; the join reads on from there
    this.#buffer = [];
  }

  #slow(): void {
    this.state = 'slow';
    this.onSlow();
  }

  /** Begins a join, overtaking any under way: from here on live messages wait. Answers the number by which the join knows itself. */
  beginJoin(): number {
    if (this.state !== 'closed') this.state = 'joining';
    this.#buffer = [];
    this.#bufferBytes = 0;
    this.#overflowed = false;
    return ++this.join;
  }

  /**
   * Ends the join of this number, whose replay reached `snapshot`: what waited beyond it goes out, then live messages do.
   * `overflowed`: too much came meanwhile, history must be read on from `snapshot`. `overtaken`: another join is under way.
   */
  goLive(join: number, epoch: string, snapshot: Position, chain: Chain): 'live' | 'overflowed' | 'overtaken' {
    if (join !== this.join || this.state !== 'joining') return 'overtaken';
    this.moveCursor(epoch, snapshot);
    if (this.#overflowed) return 'overflowed';
    const waiting = this.#buffer;
    this.#buffer = [];
    this.#floor = snapshot;
    this.state = 'live';
    for (const delivery of waiting) {
      const { channel, previous, position } = delivery.envelope;
      if (comparePositions(position, snapshot) <= 0) continue;
      if ((this.state as ReaderState) !== 'live') break; // it became slow: history has the rest
      const hole = chain.next(channel, previous, position);
      if (hole) this.gap(channel, hole, position, 'trimmed', epoch);
      this.offer(delivery);
    }
    return 'live';
  }

  /** Writes a message frame and moves the cursor onto it. */
  message(frame: Uint8Array, epoch: string, position: Position): void {
    this.cursor = { epoch, ms: position.ms, seq: position.seq };
    this.write(frame);
  }

  /** An id-only block: the client's cursor follows, no event is raised. */
  moveCursor(epoch: string, position: Position): void {
    this.message(idFrame(formatId(epoch, position)), epoch, position);
  }

  /** Tells a known loss; `epoch` names the positions, which are this epoch's or were taken over by it. */
  gap(name: Channel | Pattern, after: Position, oldest: Position | undefined, reason: GapReason, epoch: string): void {
    this.onGap(reason);
    const ids = { after: formatId(epoch, after), oldest: oldest ? formatId(epoch, oldest) : null };
    this.control('gap', { channel: name, ...ids, reason });
  }

  needs(position: Position): boolean {
    return this.state === 'live' && comparePositions(position, this.#floor) > 0;
  }

  pass(frame: Uint8Array): boolean {
    const fits = this.#sink.pendingBytes + frame.length <= limits.outboxBytesMax;
    if (!fits || !this.greeted || this.state === 'slow' || this.state === 'closed') return false;
    this.write(frame);
    return true;
  }

  missed({ channel, after }: Hole, reason: GapReason): void {
    this.gap(channel, after, undefined, reason, this.cursor!.epoch);
  }

  control(event: ControlEvent, data: object): void {
    this.write(controlFrame(event, data));
  }

  write(bytes: Uint8Array): void {
    if (this.state === 'closed') return;
    this.#lastWriteMs = this.#now();
    this.#sink.write(bytes, this.#flushed);
  }

  /** Resolves when little enough is queued to write more; false when the stream is over. */
  async room(): Promise<boolean> {
    if (this.state !== 'closed' && this.#sink.pendingBytes > limits.outboxResumeBytes) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    return (this.state as ReaderState) !== 'closed';
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }

  /** Called about once a second: heartbeat and token expiry. `watermark` is an id, or undefined while in doubt. */
  tick(watermark: Id | undefined, heartbeatMs: number): void {
    const now = this.#now();
    const pending = this.#sink.pendingBytes > 0;
    if (this.grant.expiresMs !== undefined && this.grant.expiresMs <= now) this.close('expired');
    else if (!pending && this.greeted && now - this.#lastWriteMs >= heartbeatMs) this.#beat(watermark);
  }

  /** Only a live reader with nothing queued may be moved to the watermark; any other hears its own place again. */
  #beat(watermark: Id | undefined): void {
    const place = this.cursor;
    if (!place) return;
    const ahead = watermark && watermark.epoch === place.epoch && comparePositions(watermark, place) > 0;
    const id = this.state === 'live' && ahead ? watermark : place;
    this.moveCursor(id.epoch, id);
  }

  /** Ends the stream, telling the client what it can be told. Safe to call twice. */
  close(reason: CloseReason, retryMs = this.retryMs): void {
    if (this.state === 'closed') return;
    const { event, reconnect } = closeReasons[reason];
    if (reconnect && reason !== 'stalled') this.write(retryFrame(retryMs));
    if (event === 'bye' && this.greeted) this.control('bye', { reason, retryMs: Math.round(retryMs) });
    if (event === 'expired') this.control('expired', { reason });
    this.state = 'closed';
    this.#buffer = [];
    if (reason === 'stalled') this.#sink.destroy();
    else this.#sink.end();
    this.#wake();
    this.onClosed(reason);
  }
}
