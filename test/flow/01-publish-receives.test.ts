import { expect, test } from 'vitest';
import { post } from '../helpers/publish.ts';
import { messagesOf } from '../helpers/sse.ts';
import { idsUpTo, useScene } from './scene.ts';

const scene = useScene();

test('one POST reaches every reader of the channel, with the id that the publisher was given', async () => {
  const readers = [await scene.read('channel=news'), await scene.read('channel=other&channel=news')];

  const body = '{"task":7,"big":12345678901234567890}';
  const response = await post(scene.stack, '/v1/channels/news/messages?type=task_reviewed', body);
  const answer = await response.json();

  expect(response.status).toBe(201);
  expect(response.headers.get('Location')).toBe(`/v1/channels/news/messages/${answer.id}`);
  for (const reader of readers) {
    expect(await idsUpTo(reader, answer.id)).toEqual([answer.id]);
    const { data } = reader.blocks.find((block) => block.id === answer.id && block.data)!;
    const { id, timestamp } = answer;
    expect(data).toBe(`{"id":"${id}","channel":"news","type":"task_reviewed","timestamp":${timestamp},"data":${body}}`);
  }
});

test('a reader hears its own channels and nothing else', async () => {
  const reader = await scene.read('channel=mine');
  await scene.publish('yours', 1);
  await scene.publish('mine:too', 2);
  const id = await scene.publish('mine', 3);
  expect(await idsUpTo(reader, id)).toEqual([id]);
});

test('two hundred messages arrive in the order of their answers', async () => {
  const reader = await scene.read('channel=steps');
  const ids: string[] = [];
  for (let i = 0; i < 200; i++) ids.push(await scene.publish('steps', i));
  expect(await idsUpTo(reader, ids.at(-1)!)).toEqual(ids);
  expect(messagesOf(reader.blocks).map((message) => message.data)).toEqual(ids.map((_, i) => i));
});
