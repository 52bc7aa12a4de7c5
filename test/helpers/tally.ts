import { setTimeout as pause } from 'node:timers/promises';
import { type Channel, matches, type Pattern } from '../../shared/channel.ts';
import { comparePositions, type Id, parseId } from '../../shared/id.ts';
import type { Direct } from './redis.ts';
import { controlsOf, messagesOf, type TestStream } from './sse.ts';

/** A message that Redis answered with its id: somebody's due. */
export interface Acked extends Id {
  id: string;
  channel: string;
}

/** Publishes so many to the channels in turn. */
export async function publishEach(direct: Direct, channels: readonly string[], count: number): Promise<Acked[]> {
  const acked: Acked[] = [];
  for (let i = 0; i < count; i++) acked.push(await publishOne(direct, channels[i % channels.length]!, i));
  return acked;
}

/** Publishes to the channels in turn, through whatever comes, until told to stop; unknown outcomes are nobody's due. */
export function publishThrough(direct: Direct, channels: readonly string[]) {
  const acked: Acked[] = [];
  let going = true;
  const done = (async () => {
    for (let i = 0; going; i++) {
      const one = await publishOne(direct, channels[i % channels.length]!, i).catch(() => undefined);
      if (one) acked.push(one);
      await pause(one ? 1 : 20);
    }
    return acked;
  })();
  return {
    acked: acked as readonly Acked[],
    stop() {
      going = false;
      return done;
    },
  };
}

async function publishOne(direct: Direct, channel: string, data: unknown): Promise<Acked> {
  const id = await direct.publish(channel, data);
  return { ...parseId(id)!, id, channel };
}

export function hears(subscription: string, channel: string): boolean {
  const query = new URLSearchParams(subscription);
  if (query.getAll('channel').includes(channel)) return true;
  return query.getAll('pattern').some((pattern) => matches(pattern as Pattern, channel as Channel));
}

/** What one reader was told, against what it was due. */
export interface Tally {
  lost: number;
  doubled: number;
  /** Messages behind a later one of the same channel and epoch. */
  turned: number;
  gaps: number;
  resets: { reason: string; from: string }[];
}

export const nothingWrong: Tally = { lost: 0, doubled: 0, turned: 0, gaps: 0, resets: [] };

/** Waits until whatever of `acked` this subscription hears has come, or for so long; then counts. */
export async function tally(
  stream: TestStream,
  subscription: string,
  acked: readonly Acked[],
  timeoutMs = 15_000,
): Promise<Tally> {
  const missing = new Set(acked.filter(({ channel }) => hears(subscription, channel)).map(({ id }) => id));
  let read = 0;
  const allThere = () => {
    for (; read < stream.blocks.length; read++) {
      const { id, data } = stream.blocks[read]!;
      if (id !== undefined && data !== undefined) missing.delete(JSON.parse(data).id);
    }
    return missing.size === 0;
  };
  await stream.until(allThere, timeoutMs).catch(() => undefined);
  const messages = messagesOf(stream.blocks);
  const newest = new Map<string, Id>();
  let turned = 0;
  for (const { id, channel } of messages) {
    const place = parseId(id)!;
    const before = newest.get(`${place.epoch} ${channel}`);
    if (before && comparePositions(before, place) >= 0) turned++;
    newest.set(`${place.epoch} ${channel}`, place);
  }
  return {
    lost: missing.size,
    doubled: messages.length - new Set(messages.map(({ id }) => id)).size,
    turned,
    gaps: controlsOf(stream.blocks, 'gap').length,
    resets: controlsOf(stream.blocks, 'reset'),
  };
}
