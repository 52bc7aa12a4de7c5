import { expect, test } from 'vitest';
import { idsUpTo, useScene } from './scene.ts';

const scene = useScene();

test('a pattern hears every channel that it matches, also one that is born later, each message once', async () => {
  const reader = await scene.read('pattern=user:*&pattern=*:42&channel=user:42');
  const heard: string[] = [];
  for (const channel of ['user:1', 'user:42', 'team:42', 'user:1:inbox', `user:${Date.now()}`]) {
    heard.push(await scene.publish(channel, channel));
    await scene.publish('users:1', 'begins alike, is another'); // heard by none of the three
  }
  expect(await idsUpTo(reader, heard.at(-1)!)).toEqual(heard);
});

test('what was missed under a pattern is replayed, channels born meanwhile included', async () => {
  const first = await scene.publish('room:a', 0);
  const before = await scene.read('pattern=room:*', { lastEventId: first });
  const seen = await scene.publish('room:a', 1);
  await idsUpTo(before, seen);
  before.cut();

  const missed = [await scene.publish('room:b', 2), await scene.publish('room:a', 3), await scene.publish('room:c', 4)];
  await scene.publish('lobby', 5);
  const after = await scene.read('pattern=room:*', { lastEventId: before.lastId });
  const live = await scene.publish('room:d', 6);
  expect(await idsUpTo(after, live)).toEqual([...missed, live]);
});
