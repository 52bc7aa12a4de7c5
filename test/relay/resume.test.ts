import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Channel } from '../../shared/channel.ts';
import { forget, probe } from '../../shared/scripts/clock.ts';
import { purge } from '../../shared/scripts/history.ts';
import { connectDirect, type Direct } from '../helpers/redis.ts';
import { type Block, controlsOf, openStream, type TestStream } from '../helpers/sse.ts';
import { type Stack, startStack } from '../helpers/stack.ts';

/** Whatever there is, also what is of this very millisecond. */
const everything = { holder: 'r1', leaseMs: 5_000, quietMs: -1_000, channelsMax: 10, forksMax: 100 };

let stack: Stack;
let redis: Direct;
const open: TestStream[] = [];

beforeAll(async () => {
  stack = await startStack({ relayEnv: { HEARTBEAT_MS: '300' } });
  redis = await connectDirect(stack.redis.url);
});
afterAll(async () => {
  redis.close();
  await stack.stop();
});
beforeEach(async () => {
  await redis.call('FLUSHALL', []);
  await redis.run(probe, { seed: 'epoch00001' }); // unless the relay's own probe was quicker
});
afterEach(() => {
  for (const stream of open.splice(0)) stream.cut();
});

async function read(query: string, lastEventId?: string): Promise<TestStream> {
  const headers: Record<string, string> = lastEventId === undefined ? {} : { 'Last-Event-ID': lastEventId };
  const stream = await openStream(`${stack.relayUrl}/v1/stream?${query}`, headers);
  open.push(stream);
  return stream;
}

/** A stream in short: what each block is, in order, up to the block that ends its replay. */
function short(blocks: readonly Block[]): string[] {
  return blocks.map((b) => {
    if (b.event !== undefined) {
      const { channel, after, oldest, reason, from } = JSON.parse(b.data!);
      const name = b.event.replace('edgewire.', '');
      if (name === 'gap') return `gap ${channel} ${after} ${oldest} ${reason}`;
      return name === 'reset' ? `reset ${reason} ${from}` : name;
    }
    if (b.data !== undefined) return `${b.id} ${JSON.parse(b.data).data}`;
    return b.retry === undefined ? `at ${b.id}` : `first ${b.id}`;
  });
}

/** Opens a stream and, when its replay has ended, publishes one more message. Answers all but blocks with an id alone. */
async function frames(query: string, lastEventId?: string, channel = 'a', end: unknown = 'end'): Promise<string[]> {
  const stream = await read(query, lastEventId);
  await stream.until((blocks) => short(blocks).some((line) => line.startsWith('at ')));
  await redis.publish(channel, end);
  const blocks = await stream.until((all) => short(all).some((s) => s.endsWith(` ${end}`)));
  const lines = short(
    blocks.slice(
      0,
      blocks.findIndex((b) => short([b])[0]!.endsWith(` ${end}`)),
    ),
  );
  return lines.filter((line) => !line.startsWith('at '));
}

/** Ids without their epoch are easier to make: the place before and after. */
const placeBefore = (id: string) => {
  const [epoch, ms, seq] = id.split('-');
  return Number(seq) > 0 ? `${epoch}-${ms}-${Number(seq) - 1}` : `${epoch}-${Number(ms) - 1}-9999999999`;
};

describe('a resume', () => {
  test('that missed nothing says so with nothing', async () => {
    const id = await redis.publish('a', 1);
    expect(await frames('channel=a', id)).toEqual([`first ${id}`, 'open']);
  });

  test('replays what was missed over all channels and patterns, in id order, once, and nothing else', async () => {
    const cursor = await redis.publish('a', 0);
    const ids: string[] = [];
    for (const [i, channel] of ['a', 'user:1', 'other', 'b', 'user:2', 'a'].entries()) {
      ids.push(await redis.publish(channel, i + 1));
    }
    expect(await frames('channel=a&channel=b&pattern=user:*', cursor)).toEqual([
      `first ${cursor}`,
      'open',
      `${ids[0]} 1`,
      `${ids[1]} 2`,
      `${ids[3]} 4`,
      `${ids[4]} 5`,
      `${ids[5]} 6`,
    ]);
  });

  test('by ?cursor= is the same as by Last-Event-ID, which goes first', async () => {
    const first = await redis.publish('a', 1);
    const second = await redis.publish('a', 2);
    expect(await frames(`channel=a&cursor=${first}`)).toEqual([`first ${first}`, 'open', `${second} 2`]);
    expect(await frames(`channel=a&cursor=${first}`, second, 'a', 'end2')).toContain(`first ${second}`);
  });

  test('past what was trimmed is told where history begins again', async () => {
    const ids: string[] = [];
    for (let i = 0; i < 400; i++) ids.push(await redis.publish('a', i, { length: 100 }));
    const kept = (await redis.call('XRANGE', [
      redis.keys.stream('a' as Channel),
      '-',
      '+',
      'COUNT',
      '1',
    ])) as string[][];
    const oldest = ids.find((id) => id.endsWith(kept[0]![0] as unknown as string))!;
    const place = ids.indexOf(oldest);
    expect(place).toBeGreaterThan(0);
    const lossless = await frames('channel=a', ids[place - 1]);
    expect(lossless.filter((line) => line.startsWith('gap'))).toEqual([]);
    expect(lossless[2]).toBe(`${oldest} ${place}`);
    const lossy = await frames('channel=a', ids[place - 2], 'a', 'end2');
    expect(lossy.slice(0, 4)).toEqual([
      `first ${ids[place - 2]}`,
      'open',
      `gap a ${ids[place - 2]} ${oldest} trimmed`,
      `${oldest} ${place}`,
    ]);
  });

  test('past what expired is told, and what came later is replayed', async () => {
    const first = await redis.publish('a', 1);
    const second = await redis.publish('a', 2);
    await redis.call('DEL', [redis.keys.stream('a' as Channel)]); // what PEXPIRE does
    expect(await frames('channel=a', second)).toEqual([`first ${second}`, 'open']);
    await redis.call('DEL', [redis.keys.stream('a' as Channel)]);
    const told = await frames('channel=a', first, 'a', 'end2');
    expect(told[2]).toMatch(new RegExp(`^gap a ${first} null expired$`));
  });

  test('past messages that are not kept is told so, also between kept ones', async () => {
    const first = await redis.publish('a', 1);
    await redis.publish('a', 2, { length: 0 });
    expect(await frames('channel=a', first)).toEqual([`first ${first}`, 'open', `gap a ${first} null not-kept`]);
    await redis.call('FLUSHALL', []);
    const cursor = await redis.publish('a', 0);
    const one = await redis.publish('a', 1);
    await redis.publish('a', 2, { length: 0 });
    const three = await redis.publish('a', 3);
    const lines = await frames('channel=a', cursor, 'a', 'end2');
    expect(lines).toEqual([`first ${cursor}`, 'open', `${one} 1`, `gap a ${one} ${three} not-kept`, `${three} 3`]);
  });

  test('over several pages tells what is missing of a channel that ended within an early one', async () => {
    const quiet = await redis.publish('quiet', 1);
    await redis.publish('quiet', 2, { length: 0 });
    for (let i = 0; i < 400; i++) await redis.publish('busy', `${i} ${'x'.repeat(2_000)}`);
    const lines = await frames('channel=quiet&channel=busy', quiet, 'quiet');
    expect(lines.filter((line) => line.startsWith('gap'))).toEqual([`gap quiet ${quiet} null not-kept`]);
    expect(lines.filter((line) => / \d+ x/.test(line))).toHaveLength(400);
  });

  test('never puts a line break that lies in Redis into a frame', async () => {
    const cursor = await redis.publish('a', 1);
    const { position, previous } = { position: '9999999999999-0', previous: cursor.split('-').slice(1).join('-') };
    const forged = ['d', '{"id":"x"}\nid: forged', 'p', previous, 'e', cursor.split('-')[0]!];
    await redis.call('XADD', [redis.keys.stream('a' as Channel), position, ...forged]);
    await redis.call('HSET', [redis.keys.last, 'a', position]);
    await redis.call('HSET', [redis.keys.clock, 't', position]);
    const stream = await read('channel=a', cursor);
    await stream.until((blocks) => short(blocks).some((line) => line.startsWith('at ')));
    expect(short(stream.blocks).filter((line) => line.startsWith('gap'))).toHaveLength(1);
    expect(JSON.stringify(stream.blocks)).not.toContain('forged');
  });

  test('does not replay a message whose own ttl has passed, and calls that no gap', async () => {
    const first = await redis.publish('a', 1);
    await redis.publish('a', 2, { ttlMs: 1 });
    const third = await redis.publish('a', 3);
    expect(await frames('channel=a', first)).toEqual([`first ${first}`, 'open', `${third} 3`]);
  });

  test('past a purge is told by the purged channel alone', async () => {
    const first = await redis.publish('a', 1);
    await redis.publish('a', 2);
    await redis.publish('b', 1);
    await redis.run(purge, { channel: 'a' as Channel });
    const lines = await frames('channel=a&channel=b&channel=never', first);
    expect(lines.filter((line) => line.startsWith('gap'))).toEqual([`gap a ${first} null trimmed`]);
    expect(lines.filter((line) => line.endsWith(' 1'))).toHaveLength(1);
  });

  test('by a reader that stayed quiet longer than the index lives is no loss, because heartbeats moved its cursor', async () => {
    await redis.publish('a', 1);
    const stream = await read('channel=a');
    await redis.publish('elsewhere', 1);
    const tip = await redis.publish('elsewhere', 2);
    await stream.until((blocks) => blocks.some((b) => b.id === tip && b.data === undefined));
    stream.cut();
    await redis.run(forget, everything);
    expect(await frames('channel=a', stream.lastId)).toEqual([`first ${tip}`, 'open']);
  });

  test('past a channel that was forgotten, and born again, is told', async () => {
    const old = await redis.publish('a', 1);
    const newest = await redis.publish('a', 2);
    expect(await redis.run(forget, everything)).toEqual(['a']);
    await redis.call('DEL', [redis.keys.stream('a' as Channel)]);
    expect(await frames('channel=a', newest)).toEqual([`first ${newest}`, 'open']);
    await redis.call('FLUSHALL', []);
    const cursor = await redis.publish('a', 1);
    await redis.publish('a', 2);
    await redis.run(forget, everything);
    await redis.call('DEL', [redis.keys.stream('a' as Channel)]);
    expect((await frames('channel=a', cursor, 'a', 'end2'))[2]).toBe(`gap a ${cursor} null expired`);
    const reborn = await frames('channel=a', cursor, 'a', 'end3');
    expect(reborn[2]).toMatch(new RegExp(`^gap a ${cursor} \\S+ trimmed$`));
    expect((await frames('pattern=a*', cursor, 'a', 'end4'))[2]).toBe(`gap a* ${cursor} null expired`);
    expect(old).not.toBe(cursor);
  });

  test('after FLUSHALL is reset to where the new epoch began, before and after the next publish', async () => {
    const cursor = await redis.publish('a', 1);
    await redis.call('FLUSHALL', []);
    const empty = await frames('channel=a', cursor);
    expect(empty.slice(0, 3)).toEqual([
      expect.stringMatching(/^first [a-z0-9]{10}-0-0$/),
      'open',
      expect.stringMatching(/^reset epoch [a-z0-9]{10}-0-0$/),
    ]);
    await redis.call('FLUSHALL', []);
    const next = await redis.publish('a', 2);
    const epoch = next.split('-')[0];
    expect(await frames('channel=a', cursor, 'a', 'end2')).toEqual([
      `first ${epoch}-0-0`,
      'open',
      `reset epoch ${epoch}-0-0`,
      `${next} 2`,
    ]);
  });

  test('with a cursor of an epoch nobody knows is reset', async () => {
    const id = await redis.publish('a', 1);
    const epoch = id.split('-')[0];
    expect(await frames('channel=a', `stranger-${id.split('-').slice(1).join('-')}`)).toEqual([
      `first ${epoch}-0-0`,
      'open',
      `reset epoch ${epoch}-0-0`,
      `${id} 1`,
    ]);
  });

  test('with a cursor ahead of everything is reset to the newest place', async () => {
    const id = await redis.publish('a', 1);
    const ahead = id.replace(/-(\d+)-\d+$/, (_, ms) => `-${Number(ms) + 3600_000}-0`);
    expect(await frames('channel=a', ahead)).toEqual([`first ${id}`, 'open', `reset ahead ${id}`]);
  });

  test('across a fork is lossless before it and reset behind it', async () => {
    const first = await redis.publish('a', 1);
    const second = await redis.publish('a', 2);
    // Another server took over that never saw what comes now: clock back to `second`, identity changed.
    const lost = await redis.publish('a', 3);
    const [, ms, seq] = second.split('-');
    await redis.call('HSET', [redis.keys.clock, 't', `${ms}-${seq}`, 'r', 'another', 'c', '0']);
    await redis.call('HSET', [redis.keys.last, 'a', `${ms}-${seq}`]);
    await redis.call('XDEL', [redis.keys.stream('a' as Channel), lost.split('-').slice(1).join('-')]);
    const third = await redis.publish('a', 33);
    const epoch = third.split('-')[0]!;
    expect(epoch).not.toBe(first.split('-')[0]);
    expect(await frames('channel=a', first)).toEqual([`first ${first}`, 'open', `${second} 2`, `${third} 33`]);
    const fork = second.replace(/^[^-]+/, epoch);
    expect((await frames('channel=a', lost, 'a', 'end2')).slice(0, 4)).toEqual([
      `first ${fork}`,
      'open',
      `reset rewind ${fork}`,
      `${third} 33`,
    ]);
  });

  test.each(['x', '0', '-1--1', 'a b', `${'9'.repeat(400)}`, 'epoch-1e3-0', 'é-1-0'])(
    'with the malformed Last-Event-ID %j is reset, not refused',
    async (lastEventId) => {
      const id = await redis.publish('a', 1);
      const epoch = id.split('-')[0];
      const sent = Buffer.from(lastEventId, 'utf8').toString('latin1');
      expect(await frames('channel=a', sent)).toEqual([
        `first ${epoch}-0-0`,
        'open',
        `reset malformed ${epoch}-0-0`,
        `${id} 1`,
      ]);
    },
  );

  test.each([
    ['cursor=x', 'cursor_invalid'],
    ['since=x', 'query_invalid'],
    ['since=31d', 'query_invalid'],
    ['rewind=0', 'query_invalid'],
    ['rewind=1001', 'query_invalid'],
    ['rewind=5&since=5m', 'query_invalid'],
    ['cursor=a-1-0&cursor=a-1-0', 'query_invalid'],
    ['sinse=5m', 'query_invalid'],
  ])('with the malformed query %s is refused', async (query, code) => {
    const stream = await read(`channel=a&${query}`);
    await stream.ended;
    expect(stream.status).toBe(400);
    expect(JSON.parse(stream.blocks[0]!.data!)).toMatchObject({ code });
  });
});

describe('a start', () => {
  test('without anything is live from now', async () => {
    const id = await redis.publish('a', 1);
    expect(await frames('channel=a')).toEqual([`first ${id}`, 'open']);
  });

  test('by rewind sends the newest n of each channel and of each channel under a pattern', async () => {
    const ids: string[] = [];
    for (let i = 0; i < 5; i++) ids.push(await redis.publish('a', i), await redis.publish('u:1', i));
    const lines = await frames('channel=a&pattern=u:*&rewind=2');
    expect(lines).toEqual([
      `first ${placeBefore(ids[6]!)}`,
      'open',
      `${ids[6]} 3`,
      `${ids[7]} 3`,
      `${ids[8]} 4`,
      `${ids[9]} 4`,
    ]);
  });

  test('by rewind does not read what a busy channel sent since', async () => {
    const quiet = await redis.publish('quiet', 1);
    const busy: string[] = [];
    for (let i = 0; i < 300; i++) busy.push(await redis.publish('busy', i));
    const lines = await frames('channel=quiet&channel=busy&rewind=2', undefined, 'quiet');
    expect(lines).toEqual([
      `first ${placeBefore(quiet)}`,
      'open',
      `${quiet} 1`,
      `${busy[298]} 298`,
      `${busy[299]} 299`,
    ]);
  });

  test('by the parameter that polyfills send when they reconnect is a resume, also when it is malformed', async () => {
    const first = await redis.publish('a', 1);
    const second = await redis.publish('a', 2);
    expect(await frames(`channel=a&lastEventId=${first}`)).toEqual([`first ${first}`, 'open', `${second} 2`]);
    expect((await frames('channel=a&lastEventId=x', undefined, 'a', 'end2'))[2]).toMatch(/^reset malformed /);
  });

  test('by rewind over little history or none is no gap', async () => {
    const id = await redis.publish('a', 1);
    await redis.publish('b', 1, { length: 0 });
    const lines = await frames('channel=a&channel=b&channel=c&rewind=100', undefined, 'b');
    expect(lines.slice(0, 3)).toEqual([`first ${placeBefore(id)}`, 'open', `${id} 1`]);
    expect(lines.filter((line) => line.startsWith('gap'))).toEqual([]);
  });

  test('by since sends what is younger, over channels and patterns', async () => {
    const ids = [await redis.publish('a', 1), await redis.publish('u:1', 2), await redis.publish('b', 3)];
    const lines = await frames('channel=a&pattern=u:*&since=1h');
    expect(lines[0]).toMatch(/^first [a-z0-9]{10}-\d+-9999999999$/);
    expect(lines.slice(1, 4)).toEqual(['open', `${ids[0]} 1`, `${ids[1]} 2`]);
  });

  test('on a Redis that never saw a message gets an epoch, and loses nothing after it', async () => {
    await redis.call('FLUSHALL', []);
    const stream = await read('channel=a');
    await stream.until((blocks) => blocks.length >= 2);
    stream.cut();
    const id = await redis.publish('a', 1);
    expect(await frames('channel=a', stream.lastId)).toEqual([
      expect.stringMatching(/^first .*-0-0$/),
      'open',
      `${id} 1`,
    ]);
  });
});

test('streams that are opened while Redis is emptied all begin, and hear what is published then', async () => {
  for (let round = 0; round < 20; round++) {
    const opening = Array.from({ length: 10 }, () => read(`channel=a&pattern=u:*`));
    await redis.call('FLUSHALL', []);
    const streams = await Promise.all(opening);
    await Promise.all(
      streams.map((stream) => stream.until((blocks) => short(blocks).some((s) => s.startsWith('at ')))),
    );
    const id = await redis.publish('a', round);
    await Promise.all(streams.map((stream) => stream.until((blocks) => blocks.some((b) => b.id === id && b.data))));
    for (const stream of open.splice(0)) stream.cut();
  }
});

test('1,000 clean resumes raise no false alarm', async () => {
  const channels = ['a', 'b', 'user:1', 'user:2'];
  let cursor = await redis.publish('a', 0);
  let alarms = 0;
  let received = 0;
  for (let i = 0; i < 1000; i++) {
    await redis.publish(channels[i % 4]!, i);
    const stream = await read('channel=a&channel=b&pattern=user:*', cursor);
    await stream.until((blocks) => blocks.some((b) => b.data !== undefined && b.event === undefined));
    alarms += controlsOf(stream.blocks, 'gap').length + controlsOf(stream.blocks, 'reset').length;
    received += stream.blocks.filter((b) => b.data !== undefined && b.event === undefined).length;
    cursor = stream.lastId!;
    stream.cut();
    open.length = 0;
  }
  expect({ alarms, received }).toEqual({ alarms: 0, received: 1000 });
});
