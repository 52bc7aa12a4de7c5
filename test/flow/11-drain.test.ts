import { expect, test } from 'vitest';
import { controlsOf, messagesOf } from '../helpers/sse.ts';
import { idsOf, idsUpTo, useScene } from './scene.ts';

const scene = useScene();

test('a relay that is told to stop says goodbye to its readers, and another relay goes on where it stopped', async () => {
  const leaving = await scene.stack.addRelay({ DRAIN_MS: '300' });
  const queries = ['channel=a', 'channel=a&channel=b', 'pattern=*'];
  const readers = await Promise.all(queries.map((query) => scene.read(query, { relayUrl: leaving.url })));

  const published: string[] = [];
  let publishing = true;
  const publisher = (async () => {
    while (publishing) published.push(await scene.publish('a', published.length));
  })();
  await Promise.all(readers.map((reader) => reader.until((blocks) => messagesOf(blocks).length >= 5)));
  const stopped = leaving.stop();
  await Promise.all(readers.map((reader) => reader.ended));
  const missedFrom = published.length;
  await expect.poll(() => published.length).toBeGreaterThan(missedFrom + 5);
  publishing = false;
  await publisher;
  await stopped;

  expect(await leaving.exited).toBe('exit code 0');
  expect(leaving.output()).not.toContain('"level":50');
  for (const [i, reader] of readers.entries()) {
    const [bye] = controlsOf(reader.blocks, 'bye');
    expect(bye).toMatchObject({ reason: 'drain' });
    expect(reader.blocks.at(-1)!.event).toBe('edgewire.bye');
    expect(reader.blocks.findLast((block) => block.retry !== undefined)?.retry).toBe(bye.retryMs);
    expect(bye.retryMs).toBeGreaterThanOrEqual(1_000);

    const elsewhere = await scene.read(queries[i]!, { lastEventId: reader.lastId });
    const received = [...idsOf(reader), ...(await idsUpTo(elsewhere, published.at(-1)!))];
    expect(received).toEqual(published);
  }
});
