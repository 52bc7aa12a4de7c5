import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { Reader, type Sink } from '../../relay/connection.ts';
import type { Delivery } from '../../relay/hub.ts';
import type { Channel } from '../../shared/channel.ts';
import { Chain } from '../../shared/continuity.ts';
import { parseEnvelope } from '../../shared/envelope.ts';
import type { Position } from '../../shared/id.ts';
import { limits } from '../../shared/limits.ts';
import { messageFrame } from '../../shared/sse.ts';

/** A socket that takes everything, or nothing while `blocked`. */
class FakeSocket implements Sink {
  text = '';
  pendingBytes = 0;
  over: 'ended' | 'destroyed' | undefined;
  blocked = false;
  private waiting: (() => void)[] = [];
  write(bytes: Uint8Array, flushed: () => void): void {
    this.text += new TextDecoder().decode(bytes);
    if (this.blocked) {
      this.pendingBytes += bytes.length;
      this.waiting.push(flushed);
    } else flushed();
  }
  drain(): void {
    this.blocked = false;
    this.pendingBytes = 0;
    for (const flushed of this.waiting.splice(0)) flushed();
  }
  end(): void {
    this.over = 'ended';
  }
  destroy(): void {
    this.over = 'destroyed';
  }
  ids(): string[] {
    return [...this.text.matchAll(/^id: (\S+)\ndata:/gm)].map((m) => m[1]!);
  }
}

let now = 0;
beforeEach(() => {
  now = 1_000_000;
});

function reader(socket: Sink, expiresMs?: number): Reader {
  const grant = { kind: 'token' as const, principal: 'p', scopes: [], ...(expiresMs !== undefined && { expiresMs }) };
  return new Reader(socket, { id: 'r.1', channels: ['a' as Channel], patterns: [], grant, retryMs: 1500 }, () => now);
}

function delivery(ms: number, previous = ms - 1, bytes = 0): Delivery {
  const text = `1 ${ms}-0 ${previous}-0 e a\n{"n":${ms},"x":"${'x'.repeat(bytes)}"}`;
  const envelope = parseEnvelope(new TextEncoder().encode(text))!;
  return { envelope, frame: messageFrame(`e-${ms}-0`, envelope.json) };
}

const at = (ms: number): Position => ({ ms, seq: 0 });
const unbroken = (ms: number) => new Chain(at(ms));

/** Brings a reader to live at `ms` without a replay. */
function live(r: Reader, ms = 0): void {
  r.greeted = true;
  r.goLive(r.beginJoin(), 'e', at(ms), unbroken(ms));
}

describe('a reader', () => {
  test('whatever the moment of its snapshot gets everything once, in order (1,000 random joins)', () => {
    const schedule = fc.record({
      messages: fc.integer({ min: 1, max: 60 }),
      joinAt: fc.integer({ min: 0, max: 60 }),
      snapshotLag: fc.integer({ min: 0, max: 20 }),
      replayEndsAfter: fc.integer({ min: 0, max: 20 }),
      // Pub/sub may be behind the snapshot: history had a message before the subscriber heard it.
      pubsubLag: fc.integer({ min: 0, max: 10 }),
    });
    fc.assert(
      fc.property(schedule, ({ messages, joinAt, snapshotLag, replayEndsAfter, pubsubLag }) => {
        const socket = new FakeSocket();
        const r = reader(socket);
        r.greeted = true;
        const start = Math.min(joinAt, messages);
        const snapshot = Math.min(start + snapshotLag, messages);
        const replayEnds = Math.min(snapshot + replayEndsAfter, messages);
        const join = r.beginJoin();
        const chain = unbroken(0);
        const finishReplay = () => {
          for (let ms = 1; ms <= snapshot; ms++) {
            chain.next('a' as Channel, at(ms - 1), at(ms));
            r.message(delivery(ms).frame, 'e', at(ms));
          }
          expect(r.goLive(join, 'e', at(snapshot), chain)).toBe('live');
        };
        let finished = false;
        for (let heard = Math.max(1, start - pubsubLag); heard <= messages; heard++) {
          if (!finished && heard > Math.max(replayEnds - pubsubLag, 0)) {
            finishReplay();
            finished = true;
          }
          r.offer(delivery(heard));
        }
        if (!finished) finishReplay();
        expect(socket.ids()).toEqual(Array.from({ length: messages }, (_, i) => `e-${i + 1}-0`));
      }),
      { seed: 20261120, numRuns: 1_000 },
    );
  });

  test('whose buffer overflows during a replay does not go live but is told to read on', () => {
    const socket = new FakeSocket();
    const r = reader(socket);
    const join = r.beginJoin();
    for (let ms = 1; ms <= 40; ms++) r.offer(delivery(ms, ms - 1, 32_000));
    expect(r.goLive(join, 'e', at(5), unbroken(0))).toBe('overflowed');
    expect(socket.ids()).toEqual([]);
    expect(r.cursor).toMatchObject(at(5));
    expect(r.goLive(r.beginJoin(), 'e', at(40), unbroken(40))).toBe('live');
  });

  test('tells a hole between the snapshot and what was buffered', () => {
    const socket = new FakeSocket();
    const r = reader(socket);
    const holes: unknown[] = [];
    r.onGap = (reason) => holes.push(reason);
    const join = r.beginJoin();
    r.offer(delivery(7, 6));
    r.goLive(join, 'e', at(3), unbroken(3));
    expect(holes).toEqual(['trimmed']);
    expect(socket.text).toContain('data: {"channel":"a","after":"e-3-0","oldest":"e-7-0","reason":"trimmed"}');
  });

  test('that does not drain is moved to history at the outbox bound, holds nothing, and says when it has drained', async () => {
    const socket = new FakeSocket();
    const r = reader(socket);
    let slow = 0;
    r.onSlow = () => slow++;
    live(r);
    socket.blocked = true;
    let sent = 0;
    while (r.state === 'live') r.offer(delivery(++sent, sent - 1, 100_000));
    expect(slow).toBe(1);
    expect(r.pendingBytes).toBeGreaterThan(limits.outboxBytesMax);
    expect(r.pendingBytes).toBeLessThan(limits.outboxBytesMax + 110_000);
    const held = r.pendingBytes;
    for (let more = 1; more < 100; more++) r.offer(delivery(sent + more, sent + more - 1, 100_000));
    expect(r.pendingBytes).toBe(held);
    expect(r.cursor).toMatchObject(at(sent));
    const room = r.room();
    socket.drain();
    expect(await room).toBe(true);
  });

  test('whose join was overtaken by another is not made live by the first', () => {
    const r = reader(new FakeSocket());
    const first = r.beginJoin();
    const second = r.beginJoin();
    expect(r.goLive(first, 'e', at(1), unbroken(1))).toBe('overtaken');
    expect(r.state).toBe('joining');
    expect(r.goLive(second, 'e', at(2), unbroken(2))).toBe('live');
  });

  test('is sent what was found late under its own place, so that its cursor never moves back', () => {
    const socket = new FakeSocket();
    const r = reader(socket);
    live(r, 5);
    r.offer(delivery(9));
    socket.text = '';
    r.offer(delivery(7));
    expect(socket.text).toMatch(/^id: e-9-0\ndata: \{"n":7/);
    expect(r.cursor).toMatchObject(at(9));
  });

  test('hears a heartbeat only after silence: the watermark when live, its own place while in doubt', () => {
    const socket = new FakeSocket();
    const r = reader(socket);
    live(r, 5);
    socket.text = '';
    const watermark = { epoch: 'e', ms: 9, seq: 0 };
    now += 14_999;
    r.tick(watermark, 15_000);
    expect(socket.text).toBe('');
    now += 1;
    r.tick(watermark, 15_000);
    expect(socket.text).toBe('id: e-9-0\n\n');
    r.beginJoin();
    socket.text = '';
    now += 15_000;
    r.tick({ epoch: 'e', ms: 20, seq: 0 }, 15_000);
    expect(socket.text).toBe('id: e-9-0\n\n');
    live(r, 9);
    socket.text = '';
    now += 15_000;
    r.tick({ epoch: 'other', ms: 30, seq: 0 }, 15_000);
    expect(socket.text).toBe('id: e-9-0\n\n');
  });

  test('is never moved by a heartbeat past something that is still queued for it', () => {
    const socket = new FakeSocket();
    const r = reader(socket);
    live(r);
    socket.blocked = true;
    r.offer(delivery(1));
    socket.text = '';
    now += 9_000;
    r.tick({ epoch: 'e', ms: 50, seq: 0 }, 1_000);
    expect(socket.text).toBe('');
  });

  test('whose token has run out is told so and ended, and not asked to come back', () => {
    const socket = new FakeSocket();
    const r = reader(socket, now + 5_000);
    live(r);
    now += 4_999;
    r.tick(undefined, 15_000);
    expect(r.state).toBe('live');
    now += 1;
    r.tick(undefined, 15_000);
    expect(socket.text).toContain('event: edgewire.expired\ndata: {"reason":"expired"}\n\n');
    expect(socket.text).not.toContain('retry:');
    expect(socket.over).toBe('ended');
  });

  test('that is sent away says bye with the time to come back, once', () => {
    const socket = new FakeSocket();
    const r = reader(socket);
    live(r);
    socket.text = '';
    r.close('drain', 2_500);
    r.close('drain', 9_999);
    r.offer(delivery(1));
    expect(socket.text).toBe('retry: 2500\n\nevent: edgewire.bye\ndata: {"reason":"drain","retryMs":2500}\n\n');
  });
});

test('a doubtful channel is told as a gap by the first message that links beyond the replay, and no other is', () => {
  for (const [previous, gaps] of [
    [2, 1],
    [1, 0],
  ] as const) {
    const socket = new FakeSocket();
    const r = reader(socket);
    new Chain(at(1), r.doubts).doubt('a' as Channel);
    r.goLive(r.beginJoin(), 'e', at(4), new Chain(at(4), r.doubts)); // its join overflowed and was followed by another
    r.goLive(r.beginJoin(), 'e', at(5), new Chain(at(5), r.doubts));
    r.offer(delivery(7, previous));
    r.offer(delivery(9, 8)); // the hub's matter from here on
    expect(socket.text.match(/edgewire\.gap/g) ?? []).toHaveLength(gaps);
    expect(socket.ids()).toEqual(['e-7-0', 'e-9-0']);
  }
});
