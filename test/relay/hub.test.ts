import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Delivery, type Hearer, type Hole, Hub } from '../../relay/hub.ts';
import type { Channel, Pattern } from '../../shared/channel.ts';
import { parseEnvelope } from '../../shared/envelope.ts';
import { keysOf } from '../../shared/keys.ts';
import { connectDirect, type Direct } from '../helpers/redis.ts';
import { isLive, openStream, type TestStream } from '../helpers/sse.ts';
import { type Stack, startStack } from '../helpers/stack.ts';

class Ear implements Hearer {
  readonly heard: Delivery[] = [];
  readonly holes: Hole[] = [];
  readonly channels: Channel[];
  readonly patterns: Pattern[];
  constructor(channels: string[], patterns: string[] = []) {
    this.channels = channels as Channel[];
    this.patterns = patterns as Pattern[];
  }
  offer(delivery: Delivery): void {
    this.heard.push(delivery);
  }
  pass(): boolean {
    return true;
  }
  needs(): boolean {
    return true;
  }
  missed(hole: Hole): void {
    this.holes.push(hole);
  }
}

function envelope(ms: number, channel: string, epoch = 'e') {
  return parseEnvelope(new TextEncoder().encode(`1 ${ms}-0 0-0 ${epoch} ${channel}\n{"n":${ms}}`))!;
}

const quiet = {
  onEpoch() {
    throw new Error('the epoch did not change');
  },
  onHole() {
    throw new Error('nothing was missing');
  },
};

describe('the hub', () => {
  test('offers a message once to a reader that hears it by channel and by several patterns', () => {
    const hub = new Hub(quiet);
    const ear = new Ear(['user:1'], ['user:*', '*', 'u*1']);
    hub.join(ear);
    hub.dispatch(envelope(1, 'user:1'));
    expect(ear.heard).toHaveLength(1);
  });

  test('encodes a message once, whatever the number of readers', () => {
    const hub = new Hub(quiet);
    const ears = [new Ear(['a']), new Ear(['a']), new Ear([], ['*'])];
    for (const ear of ears) hub.join(ear);
    hub.dispatch(envelope(1, 'a'));
    const frames = new Set(ears.map((ear) => ear.heard[0]!.frame));
    expect(frames.size).toBe(1);
    expect(new TextDecoder().decode([...frames][0])).toBe('id: e-1-0\ndata: {"n":1}\n\n');
  });

  test('drops the copies that come by the root name and the all-name', () => {
    const hub = new Hub(quiet);
    const ear = new Ear(['a:b'], ['a:*', '*']);
    hub.join(ear);
    for (let copy = 0; copy < 3; copy++) hub.dispatch(envelope(5, 'a:b'));
    hub.dispatch(envelope(6, 'a:b'));
    expect(ear.heard.map((d) => d.envelope.position.ms)).toEqual([5, 6]);
  });

  test('does not offer what is not matched, nor anything after leaving', () => {
    const hub = new Hub(quiet);
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
    const hub = new Hub(quiet);
    const keys = keysOf('n');
    expect(hub.names(new Ear(['a:b'], ['user:*', 'user:*:x', 'room*', '*']), keys)).toEqual([
      keys.channelName('a:b' as Channel),
      keys.rootName('user'),
      keys.allName,
    ]);
  });

  test('says so when another epoch is heard, by message or by probe, and its watermark follows', () => {
    let changes = 0;
    const hub = new Hub({ ...quiet, onEpoch: () => changes++ });
    const seen = () => hub.watermark && `${hub.watermark.epoch}-${hub.watermark.ms} ${changes}`;
    expect(seen()).toBeUndefined();
    hub.dispatch(envelope(9, 'a'));
    expect(seen()).toBe('e-9 0');
    hub.pulse({ epoch: 'e', tip: { ms: 8, seq: 0 } });
    expect(seen()).toBe('e-9 0');
    hub.pulse({ epoch: 'f', tip: { ms: 3, seq: 0 } });
    expect(seen()).toBe('f-3 1');
    hub.dispatch(envelope(4, 'a', 'g'));
    expect(seen()).toBe('g-4 2');
  });
});

describe('the chain', () => {
  /** A hub that has proven everything up to 10 and whose readers depend on it. */
  function proven(): { hub: Hub; ear: Ear; holes: Hole[] } {
    const holes: Hole[] = [];
    const hub = new Hub({ ...quiet, onHole: (hole) => holes.push(hole) });
    const ear = new Ear(['a', 'b']);
    hub.join(ear);
    hub.pulse({ epoch: 'e', tip: { ms: 10, seq: 0 } });
    return { hub, ear, holes };
  }
  const link = (ms: number, previous: number, channel = 'a') =>
    parseEnvelope(new TextEncoder().encode(`1 ${ms}-0 ${previous}-0 e ${channel}\n{"n":${ms}}`))!;
  const heard = (ear: Ear) => ear.heard.map((d) => d.envelope.position.ms);

  test('that is broken holds everything back until what is missing was delivered, in its channel’s order', () => {
    const { hub, ear, holes } = proven();
    hub.dispatch(link(11, 5));
    hub.dispatch(link(14, 13));
    hub.dispatch(link(15, 9, 'b'));
    expect([heard(ear), hub.holding, hub.watermark]).toEqual([[11], true, undefined]);
    expect(holes).toEqual([{ channel: 'a', after: { ms: 11, seq: 0 }, last: { ms: 13, seq: 0 } }]);
    hub.redeliver(link(13, 11));
    expect(hub.release()).toBe(true);
    expect(heard(ear)).toEqual([11, 13, 14, 15]);
  });

  test('that stays broken is told once and goes on', () => {
    const { hub, ear, holes } = proven();
    hub.dispatch(link(14, 13));
    hub.writeOff(holes[0]!, 'trimmed');
    hub.release();
    expect([heard(ear), ear.holes.length]).toEqual([[14], 1]);
    hub.dispatch(link(16, 14));
    expect(heard(ear)).toEqual([14, 16]);
  });

  test('is not asked for what readers’ own replays covered', () => {
    const { hub, ear } = proven();
    ear.needs = () => false;
    hub.dispatch(link(14, 13));
    expect(heard(ear)).toEqual([14]);
  });

  test('is kept, through a proof, for channels that the proof could not cover', () => {
    const { hub, holes } = proven();
    hub.dispatch(link(12, 3));
    hub.prove({ ms: 20, seq: 0 }, ['a' as Channel]);
    hub.dispatch(link(22, 15));
    expect(holes).toEqual([{ channel: 'a', after: { ms: 12, seq: 0 }, last: { ms: 15, seq: 0 } }]);
  });

  test('asks for history again when more came than is held', () => {
    const { hub, ear } = proven();
    hub.hold();
    const large = `"${'x'.repeat(1 << 20)}"`;
    for (let ms = 11; ms < 40; ms++) {
      hub.dispatch(parseEnvelope(new TextEncoder().encode(`1 ${ms}-0 ${ms - 1}-0 e a\n${large}`))!);
    }
    expect([hub.release(), hub.holding, heard(ear)]).toEqual([false, true, []]);
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
