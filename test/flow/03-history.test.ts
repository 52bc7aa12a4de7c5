import { expect, test } from 'vitest';
import { useScene } from './scene.ts';

const scene = useScene();

async function get(path: string) {
  const response = await fetch(`${scene.stack.edgeUrl}${path}`);
  return { status: response.status, body: await response.json() };
}

test('history is read page by page, newest first, or onwards from an id', async () => {
  const ids: string[] = [];
  for (let i = 0; i < 5; i++) ids.push(await scene.publish('log', i));
  const page = (query: string) => get(`/v1/channels/log/messages?${query}`);

  const newest = (await page('limit=2')).body;
  expect(newest.items.map((item: { id: string }) => item.id)).toEqual([ids[4], ids[3]]);
  const rest = (await page(`before=${newest.next}`)).body;
  expect(rest.items.map((item: { data: number }) => item.data)).toEqual([2, 1, 0]);
  expect(rest).toMatchObject({ next: null, oldest: ids[0], gap: null });

  const onwards = (await page(`after=${ids[1]}&limit=2`)).body;
  expect(onwards.items.map((item: { id: string }) => item.id)).toEqual([ids[2], ids[3]]);
  expect((await page(`after=${onwards.next}`)).body.items.map((item: { data: number }) => item.data)).toEqual([4]);
});

test('a stream begins with what history holds, as far back as it asks', async () => {
  const ids = [await scene.publish('tail', 0), await scene.publish('tail', 1), await scene.publish('tail', 2)];
  for (const [query, expected] of [
    ['rewind=2', ids.slice(1)],
    ['since=1h', ids],
    [`cursor=${ids[1]}`, ids.slice(2)],
  ] as const) {
    const reader = await scene.read(`channel=tail&${query}`);
    const blocks = await reader.until((all) => all.some((block) => block.id === ids[2] && block.data === undefined));
    expect(
      blocks.flatMap((block) => (block.data && block.id ? [block.id] : [])),
      query,
    ).toEqual(expected);
  }
});

test('one message is read by its id, and a purge forgets it', async () => {
  const first = await scene.publish('notes', 'one');
  const second = await scene.publish('notes', 'two');
  const kept = await get(`/v1/channels/notes/messages/${first}`);
  expect(kept).toMatchObject({ status: 200, body: { id: first, channel: 'notes', data: 'one' } });

  const purged = await fetch(`${scene.stack.edgeUrl}/v1/channels/notes/messages`, {
    method: 'DELETE',
    headers: { Authorization: `Bearer ${scene.stack.publishKey}` },
  });
  expect(purged.status).toBe(204);
  expect((await get(`/v1/channels/notes/messages/${first}`)).body.code).toBe('message_unknown');
  expect((await get(`/v1/channels/notes/messages?after=${first}`)).body).toMatchObject({
    items: [],
    gap: { after: first, oldest: null, reason: 'trimmed' },
  });
  expect((await get(`/v1/channels/notes/messages?after=${second}`)).body.gap).toBe(null); // who had all of it lost nothing
});
