import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connectDirect, type Direct } from '../helpers/redis.ts';
import { controlsOf } from '../helpers/sse.ts';
import { idsUpTo, metric, useScene } from './scene.ts';

const scene = useScene();
let redis: Direct;
beforeAll(async () => {
  redis = await connectDirect(scene.stack.redis.url);
});
afterAll(() => redis.close());

/** A reader on a bare socket, which takes nothing from the kernel until it is told to. */
function deafReader(path: string): Promise<Socket> {
  const { hostname, port } = new URL(scene.stack.relayUrl);
  const socket = connect(Number(port), hostname);
  socket.setEncoding('latin1').pause();
  return new Promise((resolve) => {
    socket.once('connect', () =>
      socket.write(`GET ${path} HTTP/1.1\r\nHost: ${hostname}\r\n\r\n`, () => resolve(socket)),
    );
  });
}

test('a reader that does not read costs the relay little, hurts nobody, and has everything once when it does', async () => {
  const { relayUrl } = scene.stack;
  const readers = await metric(relayUrl, 'edgewire_readers');
  const deaf = await deafReader('/v1/stream?channel=flood');
  await expect.poll(() => metric(relayUrl, 'edgewire_readers')).toBe(readers + 1);
  const awake = await scene.read('channel=flood');

  const text = 'x'.repeat(100_000);
  const published = [await scene.publish('flood', 'begin')];
  for (let i = 0; i < 50; i++) published.push(await scene.publish('flood', text)); // 5 MB by the front door
  for (let i = 0; i < 20; i++) {
    const some = Array.from({ length: 50 }, () => redis.publish('flood', text));
    published.push(...(await Promise.all(some))); // 100 MB by a shorter way, well before the relay gives a deaf reader up
  }
  expect(await idsUpTo(awake, published.at(-1)!)).toEqual(published);
  expect(await metric(relayUrl, 'edgewire_slow_total')).toBeGreaterThan(0);
  // Where frames lie. 10 to 50 MB measured, most of it garbage; 130 MB with an outbox without a bound, garbage or not.
  await expect.poll(() => metric(relayUrl, 'nodejs_external_memory_bytes'), { timeout: 4_000 }).toBeLessThan(70e6);

  const end = await scene.publish('flood', 'end');
  const received: string[] = [];
  let rest = '';
  for await (const chunk of deaf) {
    rest += chunk;
    const lines = rest.split('\n');
    rest = lines.pop()!;
    for (const line of lines) {
      if (line.startsWith('data: {"id":"')) received.push(line.slice(13, line.indexOf('"', 13)));
      if (line.startsWith('event: ')) expect(line).toBe('event: edgewire.open');
    }
    if (received.at(-1) === end) break;
  }
  expect(received).toEqual([...published, end]);
  expect(controlsOf(awake.blocks, 'gap')).toEqual([]);
});
