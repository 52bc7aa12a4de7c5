import { expect, test } from 'vitest';
import { post } from '../helpers/publish.ts';
import { idsUpTo, useScene } from './scene.ts';

const scene = useScene();

test('a publish repeated with its Idempotency-Key is answered again and heard once', async () => {
  const reader = await scene.read('channel=orders');
  const send = async (body: string) => {
    const response = await post(scene.stack, '/v1/channels/orders/messages', body, { 'Idempotency-Key': 'order-7' });
    return { response, answer: await response.json() };
  };
  const first = await send('{"order":7}');
  const again = await Promise.all(Array.from({ length: 10 }, () => send('{"order":7}')));

  expect(first.response.status).toBe(201);
  for (const { response, answer } of again) {
    expect(response.status).toBe(200);
    expect(response.headers.get('Idempotent-Replayed')).toBe('true');
    expect(answer).toEqual(first.answer);
  }
  const end = await scene.publish('orders', 'end');
  expect(await idsUpTo(reader, end)).toEqual([first.answer.id, end]);
});

test('the same key with another body is a conflict, and nothing is published', async () => {
  const reader = await scene.read('channel=refunds');
  const key = { 'Idempotency-Key': 'refund-7' };
  const id = await scene.publish('refunds', 7, key);
  const other = await post(scene.stack, '/v1/channels/refunds/messages', '8', key);
  expect(other.status).toBe(409);
  expect(await other.json()).toMatchObject({ code: 'idempotency_conflict' });
  const end = await scene.publish('refunds', 'end');
  expect(await idsUpTo(reader, end)).toEqual([id, end]);
});

test('a batch repeated with its key is heard once too', async () => {
  const reader = await scene.read('pattern=lines:*');
  const batch = JSON.stringify([1, 2, 3].map((data) => ({ channel: `lines:${data}`, data })));
  const send = async () => (await post(scene.stack, '/v1/messages', batch, { 'Idempotency-Key': 'import-1' })).json();
  const { results } = await send();
  expect(await send()).toEqual({ results });
  const end = await scene.publish('lines:4', 'end');
  expect(await idsUpTo(reader, end)).toEqual([...results.map((result: { id: string }) => result.id), end]);
});
