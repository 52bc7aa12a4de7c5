import { expect, test } from 'vitest';
import { post } from '../helpers/publish.ts';
import { controlsOf } from '../helpers/sse.ts';
import { idsOf, idsUpTo, useScene } from './scene.ts';

const scene = useScene({ retention: 'pointer:*=none' });

test.each([
  ['because its channel keeps nothing', 'pointer:7', {}],
  ['because the publisher said so', 'typing', { 'Edgewire-Store': 'no' }],
])(
  'a message that is not kept, %s, is heard live, and told as missing to whoever was away',
  async (_, channel, said) => {
    const present = await scene.read(`channel=${channel}&channel=chat`);
    const cursor = await scene.publish('chat', 'hello');
    const response = await post(scene.stack, `/v1/channels/${channel}/messages`, '[1,2]', said);
    const { id, stored } = await response.json();
    expect([response.status, stored]).toEqual([202, false]);
    expect(await idsUpTo(present, id)).toEqual([cursor, id]);

    const history = await (await fetch(`${scene.stack.edgeUrl}/v1/channels/${channel}/messages`)).json();
    expect(history.items).toEqual([]);

    const away = await scene.read(`channel=${channel}&channel=chat`, { lastEventId: cursor });
    const end = await scene.publish('chat', 'end');
    expect(await idsUpTo(away, end)).toEqual([end]);
    expect(controlsOf(away.blocks, 'gap')).toEqual([{ channel, after: cursor, oldest: null, reason: 'not-kept' }]);
    expect(controlsOf(present.blocks, 'gap')).toEqual([]);
  },
);

test('what is missing between two kept messages is told before the second of them', async () => {
  const first = await scene.publish('mixed', 1);
  await scene.publish('mixed', 2, { 'Edgewire-Store': 'no' });
  const third = await scene.publish('mixed', 3);
  const away = await scene.read('channel=mixed', { lastEventId: first });
  expect(idsOf(away)).toEqual([third]);
  const [gap] = controlsOf(away.blocks, 'gap');
  expect(gap).toEqual({ channel: 'mixed', after: first, oldest: third, reason: 'not-kept' });
  const order = away.blocks.map((block) => block.event ?? (block.data ? block.id : undefined));
  expect(order.indexOf('edgewire.gap')).toBeLessThan(order.indexOf(third));
});

test('whoever polls history hears of a loss once, and goes on from the cursor of the answer', async () => {
  const first = await scene.publish('polled', 1);
  await scene.publish('polled', 2, { 'Edgewire-Store': 'no' });
  const poll = async (after: string) =>
    (await fetch(`${scene.stack.edgeUrl}/v1/channels/polled/messages?after=${after}`)).json();
  const told = await poll(first);
  expect(told).toMatchObject({ items: [], next: null, gap: { after: first, reason: 'not-kept' } });
  expect(await poll(told.cursor)).toMatchObject({ items: [], gap: null });
  const third = await scene.publish('polled', 3);
  const { items, gap, cursor } = await poll(told.cursor);
  expect([items.map((m: { id: string }) => m.id), gap]).toEqual([[third], null]);
  expect((await poll(cursor)).items).toEqual([]);
});
