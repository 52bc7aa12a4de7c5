import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { freePort } from '../../dev/ports.ts';
import { startRedis } from '../../dev/redis.ts';
import { connectPrimary } from '../../relay/primary.ts';
import { connectDirect } from '../helpers/redis.ts';

test('a connection that the driver gave up while it was looking for who leads is made all the same', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'edgewire-primary-'));
  onTestFinished(() => rm(dir, { recursive: true, force: true }));
  const [port, busPort] = [await freePort(), await freePort()];
  const nowhere = { tls: false, username: undefined, password: undefined, nodes: [{ host: '127.0.0.1', port }] };
  const { redis, close } = connectPrimary({ mode: 'cluster', ...nowhere }, 'key', { protocol: 2 });
  onTestFinished(close);
  await once(redis, 'error').catch(() => undefined);
  // What the driver does to a connector when a Sentinel tells of a failover, whatever that is just about.
  (redis as unknown as { connector: { disconnect(): void } }).connector.disconnect();
  await once(redis, 'end').catch(() => undefined);

  const args = ['--cluster-enabled', 'yes', '--cluster-port', String(busPort)];
  const server = await startRedis({ dir, port, persist: false, args });
  onTestFinished(() => server.kill());
  const direct = await connectDirect(server.url);
  onTestFinished(() => direct.close());
  await direct.call('CLUSTER', ['ADDSLOTSRANGE', '0', '16383']);
  await expect.poll(() => redis.status, { timeout: 10_000 }).toBe('ready');
});
