import { expect, test } from 'vitest';
import { post } from '../helpers/publish.ts';
import { messagesOf } from '../helpers/sse.ts';
import { idsUpTo, useScene } from './scene.ts';

const scene = useScene();

test('a batch over several channels is one order for a reader, and each item is answered at its place', async () => {
  const reader = await scene.read('channel=a&channel=b&channel=c');
  const batch = [
    { channel: 'a', data: 1, type: 'first' },
    { channel: 'b', data: 2 },
    { channel: 'no channel', data: 3 },
    { channel: 'c', data: 4, store: false },
    { channel: 'a', dat: 5 },
    { channel: 'a', data: 6 },
  ];
  const response = await post(scene.stack, '/v1/messages', JSON.stringify(batch));
  const { results } = await response.json();

  expect(response.status).toBe(200);
  expect(results).toMatchObject([
    { channel: 'a' },
    { channel: 'b' },
    { problem: { code: 'envelope_invalid', errors: [{ pointer: '/2/channel' }] } },
    { channel: 'c', stored: false },
    { problem: { code: 'envelope_invalid' } },
    { channel: 'a' },
  ]);
  const ids = results.flatMap((result: { id?: string }) => result.id ?? []);
  expect(await idsUpTo(reader, ids.at(-1)!)).toEqual(ids);
  expect(messagesOf(reader.blocks).map(({ data, type }) => [data, type])).toEqual([
    [1, 'first'],
    [2, 'message'],
    [4, 'message'],
    [6, 'message'],
  ]);
});
