import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEdge } from '../../dev/edge.ts';
import { edgeVars, relayEnv } from '../../dev/environment.ts';
import { freePort } from '../../dev/ports.ts';
import { startRedis } from '../../dev/redis.ts';
import { startRelay } from '../../dev/relay.ts';
import { newSecrets } from '../../dev/secrets.ts';

export type Redis = Awaited<ReturnType<typeof startRedis>>;
export type Relay = Awaited<ReturnType<typeof startRelay>>;
export type Edge = Awaited<ReturnType<typeof startEdge>>;

export interface StackOptions {
  /** Whether to start workerd, 1.3 s. Default false. */
  edge?: boolean;
  /** Whether Redis writes an append-only file. Default false. */
  persist?: boolean;
  retention?: string;
  /** Start with a Redis that cannot be reached. */
  redisAway?: boolean;
  /** Over the ones of development. */
  relayEnv?: Record<string, string>;
  edgeVars?: Record<string, string>;
}

/** The real programs, as `npm start` runs them, private to one test file: FLUSHALL is allowed. */
export interface Stack {
  redis: Redis;
  relay: Relay;
  edge: Edge | undefined;
  /** '' without an edge. */
  edgeUrl: string;
  relayUrl: string;
  publishKey: string;
  restToken: string;
  /** The relay's environment, to start another one like it. */
  env: Record<string, string> & { PORT: string };
  /** Another relay on the same Redis, on its own port. Stopped with the stack. */
  addRelay(env?: Record<string, string>): Promise<Relay>;
  stop(): Promise<void>;
}

/** Lets tests compare the whole of Redis: DEBUG DIGEST-VALUE. */
const DIGESTS = ['--enable-debug-command', 'local'];

export async function startStack(options: StackOptions = {}): Promise<Stack> {
  const dir = await mkdtemp(join(tmpdir(), 'edgewire-test-'));
  const secrets = newSecrets();
  const redis = await startRedis({ dir: join(dir, 'redis'), persist: options.persist ?? false, args: DIGESTS });
  const [edgePort, relayPort] = [await freePort(), await freePort()];
  const about = { edgePort, relayPort, redisUrl: redis.url, secrets, retention: options.retention };
  const env = { ...relayEnv(about), LOG_LEVEL: 'info', ...options.relayEnv };
  const relays = [await startRelay({ env, readyPath: options.redisAway ? '/healthz' : '/readyz' })];
  const edge = options.edge
    ? await startEdge({ port: edgePort, vars: { ...edgeVars(about), ...options.edgeVars }, dir: join(dir, 'edge') })
    : undefined;
  return {
    redis,
    relay: relays[0]!,
    edge,
    edgeUrl: edge?.url ?? '',
    relayUrl: relays[0]!.url,
    publishKey: secrets.publishKey,
    restToken: secrets.restToken,
    env,
    async addRelay(more = {}) {
      const relay = await startRelay({ env: { ...env, PORT: String(await freePort()), ...more } });
      relays.push(relay);
      return relay;
    },
    async stop() {
      await edge?.stop();
      await Promise.all(relays.map((relay) => relay.kill()));
      await redis.kill();
      await rm(dir, { recursive: true, force: true });
    },
  };
}
