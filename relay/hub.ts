import { type Channel, matches, type Pattern, patternRoot, rootOf } from '../shared/channel.ts';
import type { Envelope, Pulse } from '../shared/envelope.ts';
import { comparePositions, formatId, type Position, zero } from '../shared/id.ts';
import type { Keys } from '../shared/keys.ts';
import { messageFrame } from '../shared/sse.ts';

/** A message on its way to readers: parsed once, encoded once. */
export interface Delivery {
  envelope: Envelope;
  frame: Uint8Array;
}

/** Who hears what. A reader is offered each message once, however many of its channels and patterns match. */
export interface Hearer {
  readonly channels: readonly Channel[];
  readonly patterns: readonly Pattern[];
  offer(delivery: Delivery): void;
}

/** The registry of one relay: memory only, no I/O. */
export class Hub {
  readonly #byChannel = new Map<Channel, Set<Hearer>>();
  /** Root -> pattern -> who; patterns without a literal root stand under ''. */
  readonly #byRoot = new Map<string, Map<Pattern, Set<Hearer>>>();
  readonly #onEpoch: () => void;
  #epoch: string | undefined;
  #watermark: Position = zero;
  messages = 0;
  deliveries = 0;

  /** `onEpoch`: another epoch than before was heard, so every reader's place must be decided anew. */
  constructor(onEpoch: () => void) {
    this.#onEpoch = onEpoch;
  }

  /**
   * Everything up to here that readers of this relay should hear has been offered to them: Redis sends one connection
   * its messages in the order in which they were published.
   */
  get watermark(): string | undefined {
    return this.#epoch && formatId(this.#epoch, this.#watermark);
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
    if (!this.#advance(envelope.epoch, envelope.position)) return;
    this.messages++;
    const hearers = this.#hearers(envelope.channel);
    if (!hearers) return;
    const frame = messageFrame(formatId(envelope.epoch, envelope.position), envelope.json);
    const delivery = { envelope, frame };
    for (const hearer of hearers) hearer.offer(delivery);
    this.deliveries += hearers.size;
  }

  /** A probe came home: everything up to its tip has been heard. */
  pulse(pulse: Pulse): void {
    this.#advance(pulse.epoch, pulse.tip);
  }

  /** Whether (epoch, position) is news. */
  #advance(epoch: string, position: Position): boolean {
    if (epoch === this.#epoch) {
      if (comparePositions(position, this.#watermark) <= 0) return false;
      this.#watermark = position;
      return true;
    }
    const first = this.#epoch === undefined;
    this.#epoch = epoch;
    this.#watermark = position;
    if (!first) this.#onEpoch();
    return true;
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
