import { expect, test } from 'vitest';
import { post } from '../helpers/publish.ts';
import { controlsOf, openStream } from '../helpers/sse.ts';
import { idsUpTo, useScene } from './scene.ts';

const nobody = { ANONYMOUS_READ: '' };
const scene = useScene({ edgeVars: nobody, relayEnv: nobody });

async function mint(request: object): Promise<string> {
  const response = await post(scene.stack, '/v1/tokens', JSON.stringify(request));
  expect(response.status).toBe(201);
  return (await response.json()).token;
}

test('a page reads what its token grants, nothing beyond it, and nothing without it', async () => {
  const token = await mint({ sub: 'ada', channels: ['news'], patterns: ['user:42:*'] });
  const granted = `token=${token}&channel=news&pattern=user:42:*`;
  const reader = await scene.read(granted);
  const id = await scene.publish('user:42:inbox', 'for you');
  expect(await idsUpTo(reader, id)).toEqual([id]);

  for (const [query, status, code] of [
    ['channel=news', 401, 'credential_missing'],
    [`token=${token}&channel=news&channel=user:43`, 403, 'not_granted'],
    [`token=${token}&pattern=user:*`, 403, 'not_granted'],
    [`token=${token.slice(0, -2)}&channel=news`, 401, 'credential_invalid'],
  ] as const) {
    const refused = await openStream(`${scene.stack.relayUrl}/v1/stream?${query}`);
    await refused.ended;
    expect([refused.status, JSON.parse(refused.blocks[0]!.data!).code], query).toEqual([status, code]);
  }
});

test('a token may publish only where it says so', async () => {
  const token = await mint({ sub: 'ada', publish: ['chat:*'] });
  const as = { edgeUrl: scene.stack.edgeUrl, publishKey: token };
  expect((await post(as, '/v1/channels/chat:1/messages', '1')).status).toBe(201);
  expect((await post(as, '/v1/channels/news/messages', '1')).status).toBe(403);
  expect((await post(as, '/v1/tokens', '{"sub":"eve","channels":["news"]}')).status).toBe(403);
});

test('a stream says so and ends when the time of its token is over, and goes on with a new one', async () => {
  const request = { sub: 'ada', channels: ['news'] };
  const reader = await scene.read(`channel=news&token=${await mint({ ...request, ttl: '1s' })}`);
  const seen = await scene.publish('news', 'seen');
  await idsUpTo(reader, seen);
  await reader.ended;
  expect(controlsOf(reader.blocks, 'expired')).toHaveLength(1);

  const missed = await scene.publish('news', 'missed');
  const again = await scene.read(`channel=news&token=${await mint(request)}`, { lastEventId: reader.lastId });
  expect(await idsUpTo(again, missed)).toEqual([missed]);
});
