import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { type RunningRedis, startRedis } from '../../dev/redis.ts';
import { connectDirect, type Direct } from '../helpers/redis.ts';
import { type RelayOn, relayOn } from '../helpers/relay-on.ts';

async function start(args: string[], user = ''): Promise<{ redis: RunningRedis; relay: RelayOn }> {
  const dir = await mkdtemp(join(tmpdir(), 'edgewire-policy-'));
  onTestFinished(() => rm(dir, { recursive: true, force: true }));
  const redis = await startRedis({ dir, persist: false, args });
  onTestFinished(() => redis.kill());
  return { redis, relay: await relayOn(redis.url.replace('//', `//${user}`)) };
}

async function readiness(relay: RelayOn): Promise<unknown> {
  return (await fetch(`${relay.url}/readyz`)).json();
}

/** Cuts everybody else's connection for commands and waits until one has come back. */
async function newConnections(direct: Direct): Promise<void> {
  const ids = async (): Promise<string[]> =>
    String(await direct.call('CLIENT', ['LIST', 'TYPE', 'normal'])).match(/^id=\d+/gm) ?? [];
  const before = await ids();
  await direct.call('CLIENT', ['KILL', 'TYPE', 'normal', 'SKIPME', 'yes']);
  await expect.poll(async () => (await ids()).filter((id) => !before.includes(id)).length).toBeGreaterThan(0);
}

const complaints = (relay: RelayOn) => relay.output().match(/Redis evicts keys/g)?.length ?? 0;

test('a Redis that evicts is worked with and complained of: once in the log, and where machines look', async () => {
  const { redis, relay } = await start(['--maxmemory-policy', 'allkeys-lru']);
  await expect.poll(() => readiness(relay)).toEqual({ status: 'ready', warnings: ['redis_evicts'] });
  expect(await relay.metric('redis_evicts')).toBe(1);
  expect(relay.output()).toContain('allkeys-lru');
  const direct = await connectDirect(redis.url);
  onTestFinished(() => direct.close());
  await newConnections(direct);
  expect(complaints(relay)).toBe(1);

  // Set right, it is believed with the next connection.
  await direct.call('CONFIG', ['SET', 'maxmemory-policy', 'noeviction']);
  await newConnections(direct);
  await expect.poll(() => readiness(relay)).toEqual({ status: 'ready', warnings: [] });
  expect(await relay.metric('redis_evicts')).toBe(0);
});

test.each([
  ['keeps everything', []],
  // Refused to the relay's own user only; the test itself asks whether the server is up.
  ['does not say', ['--user', 'relay', 'on', '>secret', '~*', '&*', '+@all', '-info']],
])('a Redis that %s is not complained of', async (_, args) => {
  const { relay } = await start(args, args.length > 0 ? 'relay:secret@' : '');
  expect(await readiness(relay)).toEqual({ status: 'ready', warnings: [] });
  expect(await relay.metric('redis_evicts')).toBe(0);
  expect(complaints(relay)).toBe(0);
});
