import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { serve } from '@hono/node-server';
import { startRedis } from '../../dev/redis.ts';
import { connectRedis } from '../../edge/redis.ts';
import { createRestDoor } from '../../relay/rest.ts';
import { connectDirect } from '../helpers/redis.ts';
import type { Bench } from './bench.ts';
import { conformance } from './conformance.ts';

/**
 * The edge's adapter at the relay's REST door. The door alone, not a whole relay: a relay probes through the same keys
 * every few seconds, and these tests compare all of Redis to the byte.
 */
async function open(): Promise<Bench> {
  const dir = await mkdtemp(join(tmpdir(), 'edgewire-scripts-'));
  const server = await startRedis({ dir, persist: false, args: ['--enable-debug-command', 'local'] });
  const direct = await connectDirect(server.url);
  const token = 'a-token-of-the-door-of-32-characters';
  const door = serve({ fetch: createRestDoor(direct, direct.keys, token).fetch, hostname: '127.0.0.1', port: 0 });
  await once(door, 'listening');
  const { port } = door.address() as AddressInfo;
  return {
    redis: connectRedis({ url: `http://127.0.0.1:${port}`, token }, direct.keys),
    direct,
    redisUrl: server.url,
    async close() {
      await new Promise((resolve) => door.close(resolve));
      direct.close();
      await server.kill();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

conformance('scripts over REST', open);
