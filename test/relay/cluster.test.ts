import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest';
import { always } from '../../shared/revocation.ts';
import { revoke } from '../../shared/scripts/revocation.ts';
import { type Cluster, startCluster } from '../helpers/cluster.ts';
import { connectDirect, type Direct } from '../helpers/redis.ts';
import { type RelayOn, relayOn } from '../helpers/relay-on.ts';
import { controlsOf, isLive, openStream, type TestStream } from '../helpers/sse.ts';
import { nothingWrong, publishEach, publishThrough, tally } from '../helpers/tally.ts';

const CHANNELS = ['a', 'b', 'u:1', 'u:2'];
const LIVE = ['channel=a', 'channel=a&channel=b', 'pattern=u:*', 'channel=b&pattern=*'];

let dir: string;
let cluster: Cluster;
let relay: RelayOn;
let direct: Direct;
let live: { subscription: string; stream: TestStream }[];

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'edgewire-cluster-'));
  cluster = await startCluster(dir);
});
afterAll(async () => {
  await cluster.stop();
  await rm(dir, { recursive: true, force: true });
});
beforeEach(async () => {
  relay = await relayOn(cluster.url);
  direct = await connectDirect(cluster.url);
  onTestFinished(() => direct.close());
  live = await Promise.all(
    LIVE.map(async (subscription) => ({ subscription, stream: await relay.open(subscription) })),
  );
});

test('publish, subscribe, patterns and resume in a Cluster, by sharded pub/sub alone', async () => {
  const leaving = await relay.open('pattern=*');
  const first = await publishEach(direct, CHANNELS, 200);
  expect(await tally(leaving, 'pattern=*', first)).toEqual(nothingWrong);
  const place = leaving.lastId;
  leaving.cut();
  const second = await publishEach(direct, CHANNELS, 200);
  for (const { subscription, stream } of live) {
    expect(await tally(stream, subscription, [...first, ...second])).toEqual(nothingWrong);
  }
  expect(await tally(await relay.open('pattern=*', place), 'pattern=*', second)).toEqual(nothingWrong);
  expect(await relay.metric('messages_total')).toBe(400);
  expect(await relay.metric('repaired_total')).toBe(0);
  expect(await direct.call('HGET', [direct.keys.clock, 'p'])).toBe('SPUBLISH');
});

test('publishers that do not know that it is a Cluster are told by the next probe; until then history repairs', async () => {
  await direct.call('HDEL', [direct.keys.clock, 'p']);
  const acked = await publishEach(direct, CHANNELS, 8);
  for (const { subscription, stream } of live) {
    expect(await tally(stream, subscription, acked)).toEqual(nothingWrong);
  }
  expect(await relay.metric('repaired_total')).toBeGreaterThan(0); // the control: by PUBLISH alone nothing comes
  expect(await direct.call('HGET', [direct.keys.clock, 'p'])).toBe('SPUBLISH');
});

test('a revocation ends its streams within a second, by sharded pub/sub', async () => {
  const key = `ew_prod_leaked_${'A'.repeat(43)}`;
  const sha256 = createHash('sha256').update(key).digest('hex');
  const scopes = [{ actions: ['read'], patterns: ['*'] }];
  const API_KEYS = JSON.stringify([{ id: 'leaked', principal: 'leaked', sha256, scopes }]);
  const guarding = await relayOn(cluster.url, { API_KEYS });
  const stream = await openStream(`${guarding.url}/v1/stream?channel=a`, { Authorization: `Bearer ${key}` });
  onTestFinished(() => stream.cut());
  await stream.until(isLive);
  const start = performance.now();
  await direct.run(revoke, { name: 'k:leaked', beforeMs: always, untilMs: always, revocationsMax: 10 });
  await stream.ended;
  expect(performance.now() - start).toBeLessThan(1_000); // read whole, it would take up to 30 s
  expect(controlsOf(stream.blocks, 'expired')).toEqual([{ reason: 'revoked' }]);
});

test('a slot that moves to another node and back while messages flow loses nothing', async () => {
  const publishing = publishThrough(direct, CHANNELS);
  const other = cluster.masters.find((node) => node !== cluster.owner)!;
  const followedMs: number[] = [];
  for (const [from, to] of [
    [cluster.owner, other],
    [other, cluster.owner],
  ] as const) {
    await pause(1_000);
    await cluster.moveSlot(from, to);
    const movedMs = performance.now();
    const before = publishing.acked.length;
    await expect.poll(() => publishing.acked.length).toBeGreaterThan(before);
    await expect.poll(async () => (await fetch(`${relay.url}/readyz`)).status).toBe(200);
    const listeners = async () => (await to.direct.call('PUBSUB', ['SHARDNUMSUB', direct.keys.allName])) as unknown[];
    await expect.poll(async () => (await listeners())[1], { timeout: 5_000 }).toBe(1);
    followedMs.push(Math.round(performance.now() - movedMs));
  }
  await pause(1_000);
  const acked = await publishing.stop();
  for (const { subscription, stream } of live) {
    expect({ subscription, ...(await tally(stream, subscription, acked)) }).toEqual({ subscription, ...nothingWrong });
  }
  expect(await relay.metric('resubscribed_total')).toBeGreaterThanOrEqual(2);
  expect(Math.max(...followedMs)).toBeLessThan(3_000);
  console.info(
    `${acked.length} messages through two moves; the relay had followed after ${followedMs.join(' and ')} ms.`,
  );
});

test.each([
  ['stands still and wakes up a replica', 'SIGSTOP'],
  ['dies', 'SIGKILL'],
] as const)('a node that %s is followed to its replica, and what was replicated is there', async (_, signal) => {
  const { owner, replica } = cluster;
  const before = await publishEach(direct, CHANNELS, 200);
  await expect.poll(() => direct.call('WAIT', ['1', '100'])).toBe(1);
  process.kill(owner.server.pid, signal);
  const failedMs = performance.now();
  const leads = async () => String(await replica.direct.call('INFO', ['replication'])).includes('role:master');
  await expect.poll(leads, { timeout: 20_000 }).toBe(true);
  // A connection of its own: what waits in one to the old owner, that one may still run when it wakes.
  const elsewhere = await connectDirect(cluster.url);
  onTestFinished(() => elsewhere.close());
  const publishing = publishThrough(elsewhere, CHANNELS);
  await expect.poll(() => publishing.acked.length, { timeout: 20_000 }).toBeGreaterThan(0);
  const awayMs = Math.round(performance.now() - failedMs);
  if (signal === 'SIGSTOP') process.kill(owner.server.pid, 'SIGCONT');
  await pause(1_000);
  const after = await publishing.stop();
  for (const { subscription, stream } of live) {
    const counted = await tally(stream, subscription, [...before, ...after]);
    expect({ subscription, ...counted }).toEqual({ subscription, ...nothingWrong });
  }
  console.info(`${after.length} messages after the failover; Redis was away for ${awayMs} ms.`);
  if (signal === 'SIGKILL') return;
  const role = async () => String(await owner.direct.call('INFO', ['replication']).catch(String));
  await expect.poll(role, { timeout: 20_000 }).toMatch(/role:slave[\s\S]*master_link_status:up/);
  cluster = { ...cluster, owner: replica, replica: owner };
});
