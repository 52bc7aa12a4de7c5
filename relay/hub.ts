import { type Channel, matches, type Pattern, patternRoot, rootOf } from '../shared/channel.ts';
import type { GapReason } from '../shared/continuity.ts';
import type { Envelope, Pulse } from '../shared/envelope.ts';
import { comparePositions, formatId, type Id, type Position, zero } from '../shared/id.ts';
import type { Keys } from '../shared/keys.ts';
import { messageFrame } from '../shared/sse.ts';

/** A message on its way to readers: parsed once, encoded once. */
export interface Delivery {
  envelope: Envelope;
  frame: Uint8Array;
}

/** Messages of a channel are missing after `after`, the newest of them being `last`. */
export interface Hole {
  channel: Channel;
  after: Position;
  last: Position;
}

/** Who hears what. A reader is offered each message once, however many of its channels and patterns match. */
export interface Hearer {
  readonly channels: readonly Channel[];
  readonly patterns: readonly Pattern[];
  offer(delivery: Delivery): void;
  /** Whether it depends on this relay hearing what lies at `position`: it is live, and its own replay did not reach there. */
  needs(position: Position): boolean;
  /** A message that no history holds: now or never. Whether it was written. */
  pass(frame: Uint8Array): boolean;
  /** What is missing for good. */
  missed(hole: Hole, reason: GapReason): void;
}

export interface HubEvents {
  /** Another epoch than before was heard: every reader's place must be decided anew. */
  onEpoch(): void;
  /** Pub/sub lost something. The hub holds everything back until `release`. */
  onHole(hole: Hole): void;
}

/** Messages held back while history is asked for what is missing. Past it they are read from history too. */
const heldBytesMax = 16 << 20;

/**
 * The registry of one relay: memory only, no I/O. It follows each channel's chain of previous positions, so that a message
 * that pub/sub dropped is noticed with the next one of its channel; the last one of a channel is noticed by the audit.
 */
export class Hub {
  readonly #byChannel = new Map<Channel, Set<Hearer>>();
  /** Root -> pattern -> who; patterns without a literal root stand under ''. */
  readonly #byRoot = new Map<string, Map<Pattern, Set<Hearer>>>();
  readonly #events: HubEvents;
  #epoch: string | undefined;
  #watermark: Position = zero;
  #proven: Position = zero;
  /** Channel -> its newest message heard, where that lies beyond `proven`. */
  readonly #heard = new Map<Channel, Position>();
  #held: { envelopes: Envelope[]; bytes: number; overflowed: boolean } | undefined;
  messages = 0;
  deliveries = 0;

  constructor(events: HubEvents) {
    this.#events = events;
  }

  get epoch(): string | undefined {
    return this.#epoch;
  }

  /**
   * Everything up to here that readers of this relay should hear has been offered to them: Redis sends one connection
   * its messages in the order in which they were published. Undefined while something is held back.
   */
  get watermark(): Id | undefined {
    return this.#epoch === undefined || this.#held ? undefined : { epoch: this.#epoch, ...this.#watermark };
  }

  /** Everything up to here has been compared with Redis. Repairs begin here. */
  get proven(): Position {
    return this.#proven;
  }

  get holding(): boolean {
    return this.#held !== undefined;
  }

  /** The Redis names that `hearer` needs. A pattern listens to its root, or to everything, never to PSUBSCRIBE. */
  names(hearer: Hearer, keys: Keys): string[] {
    const roots = hearer.patterns.map(patternRoot);
    return [
      ...new Set([
        ...hearer.channels.map((channel) => keys.channelName(channel)),
        ...roots.map((root) => (root === undefined ? keys.allName : keys.rootName(root))),
      ]),
    ];
  }

  join(hearer: Hearer): void {
    for (const channel of hearer.channels) entry(this.#byChannel, channel, () => new Set<Hearer>()).add(hearer);
    for (const pattern of hearer.patterns) {
      const patterns = entry(this.#byRoot, patternRoot(pattern) ?? '', () => new Map<Pattern, Set<Hearer>>());
      entry(patterns, pattern, () => new Set<Hearer>()).add(hearer);
    }
  }

  leave(hearer: Hearer): void {
    for (const channel of hearer.channels) remove(this.#byChannel, channel, hearer);
    for (const pattern of hearer.patterns) {
      const root = patternRoot(pattern) ?? '';
      const patterns = this.#byRoot.get(root);
      if (!patterns) continue;
      remove(patterns, pattern, hearer);
      if (patterns.size === 0) this.#byRoot.delete(root);
    }
  }

  /** One message from Redis to all who should hear it. Copies that came by another name are dropped. */
  dispatch(envelope: Envelope): void {
    if (!this.#held) {
      this.#receive(envelope);
      return;
    }
    this.#held.bytes += envelope.json.length;
    if (this.#held.bytes <= heldBytesMax) this.#held.envelopes.push(envelope);
    else this.#held.overflowed = true;
  }

  /** From history, while holding: what pub/sub did not bring. False when it had been heard. */
  redeliver(envelope: Envelope): boolean {
    if (comparePositions(envelope.position, this.heard(envelope.channel)) <= 0) return false;
    this.#deliver(envelope, this.#hearers(envelope.channel));
    return true;
  }

  /** What no history holds, to whoever hears `channel` now, past all order and proof. Answers how many it was written to. */
  pass(channel: Channel, frame: Uint8Array): number {
    let written = 0;
    for (const hearer of this.#hearers(channel) ?? []) if (hearer.pass(frame)) written++;
    return written;
  }

  /** History has what lies in `hole` no more: whoever depends on it is told. */
  writeOff(hole: Hole, reason: GapReason): void {
    for (const hearer of this.#hearers(hole.channel) ?? []) if (hearer.needs(hole.last)) hearer.missed(hole, reason);
    this.#heard.set(hole.channel, hole.last);
  }

  /** A message that history holds and nobody is to see any more. */
  skip(channel: Channel, position: Position): void {
    this.#heard.set(channel, position);
  }

  /** The newest message of this channel that needs no more proof. */
  heard(channel: Channel): Position {
    return this.#heard.get(channel) ?? this.#proven;
  }

  hears(channel: Channel): boolean {
    return this.#hearers(channel) !== undefined;
  }

  /** Whether some reader depends on having been offered what lies at `position` of `channel`. */
  needed(channel: Channel, position: Position): boolean {
    for (const hearer of this.#hearers(channel) ?? []) if (hearer.needs(position)) return true;
    return false;
  }

  /** Holds back whatever comes until `release`. */
  hold(): void {
    this.#held ??= { envelopes: [], bytes: 0, overflowed: false };
  }

  /** Lets go what was held. False when too much had come: then history must be read again first, and nothing was let go. */
  release(): boolean {
    const held = this.#held;
    if (!held) return true;
    if (held.overflowed) {
      this.#held = { envelopes: [], bytes: 0, overflowed: false };
      return false;
    }
    this.#held = undefined;
    for (const envelope of held.envelopes) this.dispatch(envelope); // a hole found on the way holds the rest again
    return true;
  }

  /** A probe came home: everything up to its tip has been heard, or was lost on the way. */
  pulse({ epoch, tip }: Pulse): void {
    if (epoch !== this.#epoch) this.#adopt(epoch, tip);
    else if (comparePositions(tip, this.#watermark) > 0) this.#watermark = tip;
  }

  /**
   * Everything up to `position` was compared with Redis, except in the `unproven` channels: what is known of all others up
   * to there need not be kept.
   */
  prove(position: Position, unproven: readonly Channel[]): void {
    if (comparePositions(position, this.#proven) <= 0) return;
    const kept = unproven.map((channel) => [channel, this.heard(channel)] as const);
    for (const [channel, heard] of this.#heard) if (comparePositions(heard, position) <= 0) this.#heard.delete(channel);
    for (const [channel, heard] of kept) if (this.hears(channel)) this.#heard.set(channel, heard);
    this.#proven = position;
  }

  #receive(envelope: Envelope): void {
    const { channel, previous, position, epoch } = envelope;
    if (epoch !== this.#epoch) this.#adopt(epoch, previous);
    const heard = this.heard(channel);
    if (comparePositions(position, heard) <= 0) return;
    const hearers = this.#hearers(channel);
    if (comparePositions(previous, heard) > 0 && this.needed(channel, previous)) {
      this.hold();
      this.#held!.envelopes.push(envelope);
      this.#events.onHole({ channel, after: heard, last: previous });
      return;
    }
    this.#deliver(envelope, hearers);
  }

  #deliver(envelope: Envelope, hearers: ReadonlySet<Hearer> | undefined): void {
    const { position } = envelope;
    if (comparePositions(position, this.#watermark) > 0) this.#watermark = position;
    if (!hearers) return;
    this.#heard.set(envelope.channel, position);
    this.messages++;
    const frame = messageFrame(formatId(envelope.epoch, position), envelope.json);
    const delivery = { envelope, frame };
    for (const hearer of hearers) hearer.offer(delivery);
    this.deliveries += hearers.size;
  }

  #adopt(epoch: string, position: Position): void {
    const first = this.#epoch === undefined;
    this.#epoch = epoch;
    this.#watermark = position;
    this.#proven = position;
    this.#heard.clear();
    if (this.#held) this.#held = { envelopes: [], bytes: 0, overflowed: false }; // every reader's own replay has them
    if (!first) this.#events.onEpoch();
  }

  #hearers(channel: Channel): ReadonlySet<Hearer> | undefined {
    const direct = this.#byChannel.get(channel);
    let found: Set<Hearer> | undefined;
    for (const root of [rootOf(channel), '']) {
      for (const [pattern, hearers] of this.#byRoot.get(root) ?? []) {
        if (!matches(pattern, channel)) continue;
        found ??= new Set(direct);
        for (const hearer of hearers) found.add(hearer);
      }
    }
    return found ?? direct;
  }
}

function entry<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const known = map.get(key);
  if (known !== undefined) return known;
  const made = make();
  map.set(key, made);
  return made;
}

function remove<K>(map: Map<K, Set<Hearer>>, key: K, hearer: Hearer): void {
  const hearers = map.get(key);
  if (hearers?.delete(hearer) && hearers.size === 0) map.delete(key);
}
