import { join } from 'node:path';
import { vi } from 'vitest';
import { freePort } from '../../dev/ports.ts';
import { type RunningRedis, startRedis } from '../../dev/redis.ts';
import { connectDirect, type Direct } from './redis.ts';

const SLOTS = 16_384;

export interface ClusterNode {
  server: RunningRedis;
  /** This node itself, wherever the keys are. */
  direct: Direct;
  id: string;
}

/** Three masters, and a replica for the one that owns the slot of the default namespace. */
export interface Cluster {
  /** As a relay takes it; names two nodes of which neither owns the slot. */
  url: string;
  masters: ClusterNode[];
  /** Who owned the slot in the beginning, and its replica. */
  owner: ClusterNode;
  replica: ClusterNode;
  /** Hands the slot with all its keys from one node to another, as a resharding does. */
  moveSlot(from: ClusterNode, to: ClusterNode): Promise<void>;
  stop(): Promise<void>;
}

export async function startCluster(dir: string): Promise<Cluster> {
  const nodes = await Promise.all([1, 2, 3, 4].map((n) => startNode(join(dir, `node-${n}`))));
  const masters = nodes.slice(0, 3);
  const replica = nodes[3]!;
  const bounds = [0, 5461, 10_923, SLOTS];
  for (const [i, { direct }] of masters.entries()) {
    await direct.call('CLUSTER', ['SET-CONFIG-EPOCH', String(i + 1)]);
    await direct.call('CLUSTER', ['ADDSLOTSRANGE', String(bounds[i]), String(bounds[i + 1]! - 1)]);
  }
  for (const { server, busPort } of nodes.slice(1)) {
    await nodes[0]!.direct.call('CLUSTER', ['MEET', '127.0.0.1', String(server.port), String(busPort)]);
  }
  const everywhere = async (command: string, looked: RegExp) => {
    const seen = async () => {
      const texts = await Promise.all(nodes.map(({ direct }) => direct.call('CLUSTER', [command])));
      return texts.every((text) => looked.test(String(text)));
    };
    await vi.waitUntil(seen, { timeout: 20_000, interval: 50 });
  };
  await everywhere('INFO', /cluster_state:ok[\s\S]*cluster_known_nodes:4/);
  const slot = String(await nodes[0]!.direct.call('CLUSTER', ['KEYSLOT', replica.direct.keys.clock]));
  const owner = masters.find((_, i) => bounds[i]! <= Number(slot) && Number(slot) < bounds[i + 1]!)!;
  await replica.direct.call('CLUSTER', ['REPLICATE', owner.id]);
  await everywhere('NODES', new RegExp(`slave ${owner.id}`));
  await vi.waitUntil(
    async () => String(await replica.direct.call('INFO', ['replication'])).includes('master_link_status:up'),
    { timeout: 20_000 },
  );

  const others = masters.filter((node) => node !== owner);
  return {
    url: `redis+cluster://${others.map(({ server }) => `127.0.0.1:${server.port}`).join(',')}`,
    masters,
    owner,
    replica,
    async moveSlot(from, to) {
      await to.direct.call('CLUSTER', ['SETSLOT', slot, 'IMPORTING', from.id]);
      await from.direct.call('CLUSTER', ['SETSLOT', slot, 'MIGRATING', to.id]);
      for (;;) {
        const keys = (await from.direct.call('CLUSTER', ['GETKEYSINSLOT', slot, '10'])) as string[];
        if (keys.length === 0) break;
        await from.direct.call('MIGRATE', ['127.0.0.1', String(to.server.port), '', '0', '5000', 'KEYS', ...keys]);
      }
      // First whoever gets it, so that there is no moment at which nobody has it.
      for (const { direct } of [to, from, ...masters.filter((node) => node !== to && node !== from)]) {
        await direct.call('CLUSTER', ['SETSLOT', slot, 'NODE', to.id]);
      }
    },
    async stop() {
      for (const { direct } of nodes) direct.close();
      await Promise.all(nodes.map(({ server }) => server.kill()));
    },
  };
}

async function startNode(dir: string): Promise<ClusterNode & { busPort: number }> {
  const busPort = await freePort(); // by default port + 10,000, which may be one that the system hands out
  const settings = { 'cluster-enabled': 'yes', 'cluster-node-timeout': '1000', 'cluster-port': String(busPort) };
  const server = await startRedis({
    dir,
    persist: false,
    args: Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]),
  });
  const direct = await connectDirect(server.url);
  return { server, direct, busPort, id: String(await direct.call('CLUSTER', ['MYID'])) };
}
