import { createConnection } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { AbstractConnector, Redis as IoRedis, type RedisOptions } from 'ioredis';
import type { ClusterAddress, Node, RedisAddress, SentinelAddress } from './address.ts';

/**
 * A connection to the server that holds this deployment, and to the next one when that changes: whoever leads is asked for
 * anew before each connect. All keys share one slot, so a Cluster is one server at a time, too, and what is true
 * of a connection (what it lost, what it must ask again) is the same in every mode. `key` is any one of them.
 */
export function connectPrimary(address: RedisAddress, key: string, options: Options): Primary {
  const redis = open(address, key, options);
  let closed = false;
  // The driver gives up for good when the Sentinels tell of a failover while it is about to connect.
  redis.on('end', () => {
    if (!closed) setTimeout(() => closed || redis.connect().catch(() => undefined), ASK_AGAIN_MS);
  });
  return {
    redis,
    close() {
      closed = true;
      redis.disconnect();
    },
  };
}

export interface Primary {
  redis: IoRedis;
  /** For good; whatever else ends the connection is followed by a new one. */
  close(): void;
}

function open(address: RedisAddress, key: string, options: Options): IoRedis {
  switch (address.mode) {
    case 'single':
      return new IoRedis(address.url, options);
    case 'sentinel':
      return new IoRedis({ ...options, ...sentinelOptions(address) });
    case 'cluster':
      return new IoRedis({ ...options, ...accessOptions(address), Connector: ownerConnector(address, key) });
  }
}

/** Over RESP2, whose shapes of replies there is no choice of. */
type Options = Omit<RedisOptions, 'replyMapping' | 'protocol'> & { protocol?: 2 };

/** Everyone who could be asked was asked, and nobody answered: so long until the next round. */
const ASK_AGAIN_MS = 500;
/** One Sentinel or node: in the same network or away. */
const ASK_MS_MAX = 1_000;

function accessOptions({ tls, username, password }: SentinelAddress | ClusterAddress): Options {
  return { ...(username && { username }), ...(password && { password }), ...(tls && { tls: {} }) };
}

function sentinelOptions(address: SentinelAddress): Options {
  const { tls, sentinels, master, db, sentinelUsername, sentinelPassword } = address;
  return {
    ...accessOptions(address),
    sentinels,
    name: master,
    role: 'master',
    db,
    ...(sentinelUsername && { sentinelUsername }),
    ...(sentinelPassword && { sentinelPassword }),
    ...(tls && { enableTLSForSentinelMode: true, sentinelTLS: {} }),
    sentinelCommandTimeout: ASK_MS_MAX,
    sentinelRetryStrategy: () => ASK_AGAIN_MS,
    // Listens to the Sentinels: a primary that was replaced may live on, cut off, and answer whoever stays with it.
    failoverDetector: true,
  };
}

/** Connects to the Cluster node that owns the slot of `key`. Never gives up until it is closed. */
function ownerConnector(address: ClusterAddress, key: string) {
  let known: Node[] = address.nodes;
  let turn = 0;

  /** Each round begins with another node: one that was cut off from its Cluster goes on telling old news. */
  async function findOwner(tell: (error: Error) => void, wanted: () => boolean): Promise<Node> {
    for (;;) {
      let failure = 'none answered';
      const begin = turn++;
      for (let i = 0; i < known.length && wanted(); i++) {
        const node = known[(begin + i) % known.length]!;
        try {
          const { owner, nodes } = await askNode(node, address, key);
          known = [...nodes, ...address.nodes.filter((seed) => !nodes.some((n) => isSame(n, seed)))];
          if (owner) return owner;
          failure = `${node.host}:${node.port} knows none`;
        } catch (error) {
          failure = error instanceof Error ? error.message : String(error);
        }
      }
      if (!wanted()) throw new Error('closed while the owner of the slot was looked for');
      tell(new Error(`No Cluster node names the owner of the slot; the last that was asked: ${failure}`));
      await pause(ASK_AGAIN_MS);
    }
  }

  return class OwnerConnector extends AbstractConnector {
    constructor() {
      super(2_000);
    }

    override async connect(tell: (type: string, error: Error) => void) {
      this.connecting = true;
      const { host, port } = await findOwner(
        (error) => tell('error', error),
        () => this.connecting,
      );
      this.stream = address.tls ? connectTls({ host, port }) : createConnection({ host, port });
      this.stream.once('error', (error) => {
        this.firstError = error;
      });
      return this.stream;
    }
  };
}

/** Which nodes there are, as one of them knows it, and which of them owns the slot of `key`. */
async function askNode(node: Node, address: ClusterAddress, key: string): Promise<{ owner?: Node; nodes: Node[] }> {
  const redis = new IoRedis({
    ...node,
    ...accessOptions(address),
    protocol: 2,
    lazyConnect: true,
    enableReadyCheck: false,
    retryStrategy: () => null,
    maxRetriesPerRequest: 0,
    connectTimeout: ASK_MS_MAX,
    commandTimeout: ASK_MS_MAX,
  });
  redis.on('error', () => undefined); // the command that it fails says so
  try {
    await redis.connect();
    const [slot, ranges] = await Promise.all([
      redis.call('CLUSTER', ['KEYSLOT', key]) as Promise<number>,
      redis.call('CLUSTER', ['SLOTS']) as Promise<[number, number, ...[string | null, number][]][]>,
    ]);
    // A node that does not know its own address leaves it out: it is where it was asked.
    const place = ([host, port]: [string | null, number]) => ({ host: host && host !== '?' ? host : node.host, port });
    const owning = ranges.find(([first, last]) => first <= slot && slot <= last);
    const nodes = ranges.flatMap(([, , ...members]) => members.map(place));
    return { nodes, ...(owning?.[2] && { owner: place(owning[2]) }) };
  } finally {
    redis.disconnect();
  }
}

function isSame(a: Node, b: Node): boolean {
  return a.host === b.host && a.port === b.port;
}
