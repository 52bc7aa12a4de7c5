import { parseRedisUrl } from '../../relay/address.ts';
import { connectSubscription } from '../../relay/redis.ts';
import { type Channel, parseChannel } from '../../shared/channel.ts';
import type { Clock } from '../../shared/continuity.ts';
import { formatPosition, type Position, parseId, parsePosition } from '../../shared/id.ts';
import { keysOf } from '../../shared/keys.ts';
import { compose, type Draft } from '../../shared/message.ts';
import type { Redis } from '../../shared/redis.ts';
import { type BatchArgs, batch } from '../../shared/scripts/batch.ts';
import { probe } from '../../shared/scripts/clock.ts';
import { type Outgoing, type PublishArgs, publish } from '../../shared/scripts/publish.ts';
import type { Direct } from '../helpers/redis.ts';

/** What every script is tried on: the adapter in question, and Redis itself to look at and to break. */
export interface Bench {
  redis: Redis;
  direct: Direct;
  redisUrl: string;
  close(): Promise<void>;
}

let drawn = 0;
/** Unlike any before, and recognisable as an epoch. */
export function newSeed(): string {
  return (++drawn).toString(36).padStart(10, 'e');
}

export function channel(name: string): Channel {
  const parsed = parseChannel(name);
  if (!parsed) throw new Error(`${name} is no channel`);
  return parsed;
}

/** A message as the scripts take it; `more` says what it has beside its data. */
export function outgoing(
  name: string,
  json: string,
  more: Partial<Outgoing & Omit<Draft, 'channel' | 'json'>> = {},
): Outgoing {
  const { length = 10_000, keepMs = 3_600_000, ttlMs = 0, ...draft } = more;
  const { head, body } = compose({ type: 'test', ...draft, channel: channel(name), json });
  return { channel: channel(name), head, body, length, keepMs, ttlMs };
}

export interface Published extends Position {
  id: string;
  epoch: string;
  status: 'new' | 'again';
  stored: boolean;
}

/** Publishes and expects that it is done. */
export async function send(redis: Redis, name: string, data: unknown = 0, more: Partial<PublishArgs> = {}) {
  const message = outgoing(name, JSON.stringify(data), more);
  const reply = await redis.run(publish, { seed: newSeed(), ...message, ...more, channel: message.channel });
  if (reply.status === 'conflict') throw new Error('a conflict');
  return { ...parseId(reply.id)!, ...reply } satisfies Published;
}

/** Publishes many at once and expects that all of them are. */
export async function sendAll(redis: Redis, messages: Outgoing[]): Promise<(Position & { id: string })[]> {
  const results = [];
  for (let i = 0; i < messages.length; i += 1_000) {
    const items = messages.slice(i, i + 1_000).map((message, index) => ({ ...message, index }));
    const reply = await redis.run(batch, { seed: newSeed(), items } satisfies BatchArgs);
    if (reply.status === 'conflict') throw new Error('a conflict');
    for (const result of reply.results) {
      if ('refused' in result) throw new Error(`refused: ${result.refused}`);
      results.push({ ...parseId(result.id)!, id: result.id });
    }
  }
  return results;
}

/** Reads the clock through the script that relays use; begins an epoch where there is none. */
export function clockOf(redis: Redis): Promise<Clock> {
  return redis.run(probe, { seed: newSeed() });
}

/** A hash as Redis has it. */
export async function hash(direct: Direct, key: string): Promise<Record<string, string>> {
  const flat = (await direct.call('HGETALL', [key])) as string[];
  return Object.fromEntries(flat.flatMap((word, i) => (i % 2 === 0 ? [[word, flat[i + 1]!]] : [])));
}

export interface Row {
  position: string;
  d: string;
  p: string;
  e: string;
  x?: string;
}

/** A channel's whole stream as Redis has it, by the plainest of reads. */
export async function rows(direct: Direct, name: string): Promise<Row[]> {
  const found = await direct.call('XRANGE', [direct.keys.stream(channel(name)), '-', '+']);
  return (found as [string, string[]][]).map(([position, [, d, , p, , e, , x]]) => {
    return { position, d: d!, p: p!, e: e!, ...(x !== undefined && { x }) };
  });
}

/** Resolves when Redis's own clock has passed `ms`. */
export async function passed(direct: Direct, ms: number): Promise<void> {
  for (let now = 0; now <= ms; ) {
    const [seconds, micros] = (await direct.call('TIME', [])) as string[];
    now = Number(seconds) * 1000 + Math.floor(Number(micros) / 1000);
  }
}

export function place(text: string): Position {
  return parsePosition(text)!;
}

export { formatPosition as text };

export interface Listener {
  heard: string[];
  /** Resolves with everything heard, once that is as much as `count`. */
  until(count: number): Promise<string[]>;
  close(): void;
}

/** Subscribed to these names when it resolves. */
export async function listen(url: string, ...names: string[]): Promise<Listener> {
  const heard: string[] = [];
  const ready = Promise.withResolvers<void>();
  let wake = () => {};
  const events = {
    onMessage(bytes: Uint8Array) {
      heard.push(new TextDecoder().decode(bytes));
      wake();
    },
    onReady: ready.resolve,
    onLost: () => undefined,
    onError: ready.reject,
  };
  const subscription = connectSubscription(parseRedisUrl(url)!, keysOf('default'), events);
  await ready.promise;
  await subscription.subscribe(names);
  return {
    heard,
    async until(count) {
      while (heard.length < count) await new Promise<void>((resolve) => (wake = resolve));
      return heard;
    },
    close: () => subscription.close(),
  };
}
