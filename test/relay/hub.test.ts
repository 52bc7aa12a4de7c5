import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Delivery, type Hearer, Hub } from '../../relay/hub.ts';
import type { Channel, Pattern } from '../../shared/channel.ts';
import { parseEnvelope } from '../../shared/envelope.ts';
import { keysOf } from '../../shared/keys.ts';
import { connectDirect, type Direct } from '../helpers/redis.ts';
import { isLive, openStream, type TestStream } from '../helpers/sse.ts';
import { type Stack, startStack } from '../helpers/stack.ts';

class Ear implements Hearer {
  readonly heard: Delivery[] = [];
  readonly channels: Channel[];
  readonly patterns: Pattern[];
  constructor(channels: string[], patterns: string[] = []) {
    this.channels = channels as Channel[];
    this.patterns = patterns as Pattern[];
  }
  offer(delivery: Delivery): void {
    this.heard.push(delivery);
  }
}

function envelope(ms: number, channel: string, epoch = 'e') {
  return parseEnvelope(new TextEncoder().encode(`1 ${ms}-0 0-0 ${epoch} ${channel}\n{"n":${ms}}`))!;
}

const noEpochChange = () => {
  throw new Error('the epoch did not change');
};

describe('the hub', () => {
  test('offers a message once to a reader that hears it by channel and by several patterns', () => {
    const hub = new Hub(noEpochChange);
    const ear = new Ear(['user:1'], ['user:*', '*', 'u*1']);
    hub.join(ear);
    hub.dispatch(envelope(1, 'user:1'));
    expect(ear.heard).toHaveLength(1);
  });

  test('encodes a message once, whatever the number of readers', () => {
    const hub = new Hub(noEpochChange);
    const ears = [new Ear(['a']), new Ear(['a']), new Ear([], ['*'])];
    for (const ear of ears) hub.join(ear);
    hub.dispatch(envelope(1, 'a'));
    const frames = new Set(ears.map((ear) => ear.heard[0]!.frame));
    expect(frames.size).toBe(1);
    expect(new TextDecoder().decode([...frames][0])).toBe('id: e-1-0\ndata: {"n":1}\n\n');
  });

  test('drops the copies that come by the root name and the all-name', () => {
    const hub = new Hub(noEpochChange);
    const ear = new Ear(['a:b'], ['a:*', '*']);
    hub.join(ear);
    for (let copy = 0; copy < 3; copy++) hub.dispatch(envelope(5, 'a:b'));
    hub.dispatch(envelope(6, 'a:b'));
    expect(ear.heard.map((d) => d.envelope.position.ms)).toEqual([5, 6]);
  });

  test('does not offer what is not matched, nor anything after leaving', () => {
    const hub = new Hub(noEpochChange);
    const ear = new Ear(['a'], ['user:*']);
    hub.join(ear);
    hub.dispatch(envelope(1, 'b'));
    hub.dispatch(envelope(2, 'user'));
    hub.leave(ear);
    hub.dispatch(envelope(3, 'a'));
    hub.dispatch(envelope(4, 'user:1'));
    expect(ear.heard).toEqual([]);
  });

  test('listens to roots for patterns, and to everything only for patterns without one', () => {
    const hub = new Hub(noEpochChange);
    const keys = keysOf('n');
    expect(hub.names(new Ear(['a:b'], ['user:*', 'user:*:x', 'room*', '*']), keys)).toEqual([
      keys.channelName('a:b' as Channel),
      keys.rootName('user'),
      keys.allName,
    ]);
  });

  test('says so when another epoch is heard, by message or by probe, and its watermark follows', () => {
    let changes = 0;
    const hub = new Hub(() => changes++);
    expect(hub.watermark).toBeUndefined();
    hub.dispatch(envelope(9, 'a'));
    expect([hub.watermark, changes]).toEqual(['e-9-0', 0]);
    hub.pulse({ epoch: 'e', tip: { ms: 8, seq: 0 } });
    expect(hub.watermark).toBe('e-9-0');
    hub.pulse({ epoch: 'f', tip: { ms: 3, seq: 0 } });
    expect([hub.watermark, changes]).toEqual(['f-3-0', 1]);
    hub.dispatch(envelope(4, 'a', 'g'));
    expect([hub.watermark, changes]).toEqual(['g-4-0', 2]);
  });
});

describe('a relay', () => {
  let stack: Stack;
  let redis: Direct;
  beforeAll(async () => {
    stack = await startStack();
    redis = await connectDirect(stack.redis.url);
  });
  afterAll(async () => {
    redis.close();
    await stack.stop();
  });

  test('holds one Redis subscription per name, whatever the number of readers, and none when they are gone', async () => {
    const { keys } = redis;
    const names = [
      keys.channelName('a' as Channel),
      keys.channelName('b' as Channel),
      keys.rootName('user'),
      keys.allName,
    ];
    const subscribers = async () => {
      const reply = (await redis.call('PUBSUB', ['NUMSUB', ...names])) as (string | number)[];
      return names.map((_, i) => Number(reply[2 * i + 1]));
    };
    const open = (): Promise<TestStream> =>
      openStream(`${stack.relayUrl}/v1/stream?channel=a&channel=b&pattern=user:*&pattern=*x`);
    const streams = await Promise.all(Array.from({ length: 50 }, open));
    await Promise.all(streams.map((stream) => stream.until(isLive)));
    expect(await subscribers()).toEqual([1, 1, 1, 1]);
    expect(await redis.call('PUBSUB', ['NUMPAT'])).toBe(0);
    for (const stream of streams) stream.cut();
    await expect.poll(subscribers).toEqual([0, 0, 0, 0]);
  });
});
