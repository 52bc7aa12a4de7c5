import { expect, test } from 'vitest';
import { controlsOf } from '../helpers/sse.ts';
import { idsOf, idsUpTo, useScene } from './scene.ts';

const scene = useScene();
const query = 'channel=a&channel=b&pattern=user:*';
const channels = ['a', 'user:1', 'b', 'unheard', 'user:2'];

test('a reader that drops off again and again has every message once, in order', async () => {
  const published: string[] = [];
  const publishSome = async (count: number) => {
    for (let i = 0; i < count; i++) {
      const channel = channels[i % channels.length]!;
      const id = await scene.publish(channel, i);
      if (channel !== 'unheard') published.push(id);
    }
  };
  const received: string[] = [];
  let reader = await scene.read(query);
  for (let drop = 0; drop < 10; drop++) {
    await publishSome(10);
    await idsUpTo(reader, published.at(-1)!);
    reader.cut();
    received.push(...idsOf(reader));
    await publishSome(10); // while nobody listens
    reader = await scene.read(query, { lastEventId: reader.lastId });
    expect(controlsOf(reader.blocks, 'gap')).toEqual([]);
  }
  received.push(...(await idsUpTo(reader, published.at(-1)!)));
  expect(received).toEqual(published);
});

test('a reader that is cut off after its first block resumes from where it joined', async () => {
  const reader = await scene.read(query);
  reader.cut();
  const missed = await scene.publish('a', 'missed');
  const again = await scene.read(query, { lastEventId: reader.blocks[0]!.id });
  expect(await idsUpTo(again, missed)).toEqual([missed]);
});
