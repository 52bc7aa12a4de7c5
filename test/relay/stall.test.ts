import { connect, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { limits } from '../../shared/limits.ts';
import { connectDirect, type Direct } from '../helpers/redis.ts';
import { type Stack, startStack } from '../helpers/stack.ts';

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

/** A raw reader that takes what it is told to, and no more. */
function open(): Promise<Socket> {
  const { hostname, port } = new URL(stack.relayUrl);
  return new Promise((resolve, reject) => {
    const socket = connect({ host: hostname, port: Number(port), onread: undefined });
    socket.on('error', reject);
    socket.on('connect', () => {
      socket.write('GET /v1/stream?channel=a HTTP/1.1\r\nHost: x\r\n\r\n');
      socket.once('readable', () => resolve(socket));
    });
  });
}

test('a reader that takes nothing is ended after the stall limit, one that takes a little all the time is not', async () => {
  const [dead, slow] = [await open(), await open()];
  let ended = false;
  slow.on('close', () => {
    ended = true;
  });
  // More than the kernel holds for the two of them, so that something waits in the relay.
  for (let i = 0; i < 160; i++) await redis.publish('a', 'x'.repeat(100_000));
  const closed = async () => {
    const text = await (await fetch(`${stack.relayUrl}/metrics`)).text();
    return Number(/^edgewire_streams_closed_total\{reason="stalled"\} (\d+)$/m.exec(text)?.[1] ?? 0);
  };
  // Noticed when the limit has passed at least once and at most twice.
  const until = performance.now() + 2 * limits.stallMsMax + 3_000;
  while (performance.now() < until) {
    slow.read(20_000) ?? slow.read(); // 100 kB/s; less than a sixteenth of its buffer, the kernel does not tell the sender
    await pause(200);
  }
  expect(await closed()).toBe(1);
  expect(ended).toBe(false);
  expect(dead.destroyed || dead.readableEnded || !dead.writable || (await goneSoon(dead))).toBe(true);
  slow.destroy();
});

/** Whether reading on finds the end of the connection. */
function goneSoon(socket: Socket): Promise<boolean> {
  return new Promise((resolve) => {
    socket.removeAllListeners('error');
    for (const event of ['error', 'end', 'close']) socket.on(event, () => resolve(true));
    socket.resume();
  });
}
