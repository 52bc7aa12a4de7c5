import { expect, test } from 'vitest';
import { controlsOf } from '../helpers/sse.ts';
import { idsOf, idsUpTo, useScene } from './scene.ts';

const scene = useScene();

test('a reader moves between two relays with one cursor and has everything once, in order', async () => {
  const other = await scene.stack.addRelay();
  const relays = [scene.stack.relayUrl, other.url];
  const published: string[] = [];
  const received: string[] = [];
  let lastEventId: string | undefined;
  for (let move = 0; move < 6; move++) {
    const reader = await scene.read('channel=a&pattern=user:*', { lastEventId, relayUrl: relays[move % 2]! });
    published.push(await scene.publish('a', move), await scene.publish('user:1', move));
    await idsUpTo(reader, published.at(-1)!);
    reader.cut();
    received.push(...idsOf(reader));
    expect([...controlsOf(reader.blocks, 'gap'), ...controlsOf(reader.blocks, 'reset')]).toEqual([]);
    lastEventId = reader.lastId;
    published.push(await scene.publish('user:2', move)); // between two relays
  }
  const last = await scene.read('channel=a&pattern=user:*', { lastEventId });
  received.push(...(await idsUpTo(last, published.at(-1)!)));
  expect(received).toEqual(published);
});

test('both relays bring the same messages in the same order', async () => {
  const other = await scene.stack.addRelay();
  const readers = [await scene.read('pattern=race:*'), await scene.read('pattern=race:*', { relayUrl: other.url })];
  const ids = await Promise.all(Array.from({ length: 100 }, (_, i) => scene.publish(`race:${i % 7}`, i)));
  const end = await scene.publish('race:end', 'end');
  const [here, there] = await Promise.all(readers.map((reader) => idsUpTo(reader, end)));
  expect(here).toEqual(there);
  expect([...here!].sort()).toEqual([...ids, end].sort());
});
