import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { vi } from 'vitest';
import { type Child, startChild } from '../../dev/child.ts';
import { freePort, isFree } from '../../dev/ports.ts';
import { type RunningRedis, redisServer, startRedis } from '../../dev/redis.ts';
import { connectDirect } from './redis.ts';

const MASTER = 'main';
/** Replication has a user of its own, so that it can be cut without cutting anything else. */
const REPLICATION = [
  ...['--user', 'repl', 'on', '>replication', '~*', '&*', '+psync', '+replconf', '+ping'],
  ...['--masteruser', 'repl', '--masterauth', 'replication', '--repl-diskless-sync-delay', '0'],
];

/** A primary, its replica, and three Sentinels that agree by two. */
export interface Watched {
  /** As a relay takes it. */
  url: string;
  primary: RunningRedis;
  replica: RunningRedis;
  /** What the primary acknowledges from now on, its replica never hears of. */
  cutReplication(): Promise<void>;
  /** Asks the Sentinels to replace a primary that is well. */
  replace(): Promise<void>;
  /** Resolves when they name the replica as the one that leads. */
  promoted(): Promise<void>;
  /** The primary, killed before, comes back where it was, with what it had. */
  bringBack(): Promise<RunningRedis>;
  stop(): Promise<void>;
}

export async function startWatched(dir: string, replicaEnv: NodeJS.ProcessEnv = {}): Promise<Watched> {
  const args = [...REPLICATION, '--enable-debug-command', 'local'];
  const startPrimary = (port?: number) => startRedis({ dir: join(dir, 'primary'), args, ...(port && { port }) });
  const primary = await startPrimary();
  const replica = await startRedis({
    dir: join(dir, 'replica'),
    args: [...args, '--replicaof', '127.0.0.1', String(primary.port)],
    env: replicaEnv,
  });
  const sentinels = await Promise.all([1, 2, 3].map((n) => startSentinel(join(dir, `sentinel-${n}`), primary.port)));
  const children: Child[] = [primary, replica, ...sentinels.map(({ child }) => child)];
  await Promise.all(sentinels.map(({ port }) => knowsAll(port)));
  const asked = await connectDirect(`redis://127.0.0.1:${sentinels[0]!.port}`);
  const ask = (question: string) => asked.call('SENTINEL', [question, MASTER]);
  return {
    url: `redis+sentinel://${sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',')}/${MASTER}`,
    primary,
    replica,
    async cutReplication() {
      const direct = await connectDirect(primary.url);
      await direct.call('ACL', ['SETUSER', 'repl', 'off']);
      await direct.call('CLIENT', ['KILL', 'USER', 'repl']);
      direct.close();
    },
    replace: () => ask('FAILOVER').then(() => undefined),
    async promoted() {
      const leads = async () => String(await ask('GET-MASTER-ADDR-BY-NAME')) === `127.0.0.1,${replica.port}`;
      await vi.waitUntil(leads, { timeout: 45_000, interval: 20 }).catch(() => {
        throw new Error(sentinels.map(({ child }) => child.output()).join('\n\n'));
      });
    },
    async bringBack() {
      const back = await startPrimary(primary.port);
      children.push(back);
      return back;
    },
    async stop() {
      asked.close();
      await Promise.all(children.map((child) => child.kill()));
    },
  };
}

async function startSentinel(dir: string, primaryPort: number): Promise<{ port: number; child: Child }> {
  const port = await freePort();
  await mkdir(dir, { recursive: true });
  const lines = [
    `port ${port}`,
    'bind 127.0.0.1',
    `dir ${dir}`,
    `sentinel monitor ${MASTER} 127.0.0.1 ${primaryPort} 2`,
    `sentinel down-after-milliseconds ${MASTER} 800`,
    `sentinel failover-timeout ${MASTER} 2000`,
  ];
  await writeFile(join(dir, 'sentinel.conf'), `${lines.join('\n')}\n`);
  const child = await startChild({
    name: 'redis-sentinel',
    command: redisServer(),
    args: [join(dir, 'sentinel.conf'), '--sentinel'],
    env: process.env,
    ready: async () => !(await isFree(port)),
    readyMsMax: 15_000,
  });
  return { port, child };
}

/** Only a Sentinel that knows the replica and the others can agree with them on a failover. */
async function knowsAll(port: number): Promise<void> {
  const direct = await connectDirect(`redis://127.0.0.1:${port}`);
  const knows = async () => {
    const reply = (await direct.call('SENTINEL', ['MASTER', MASTER])) as string[];
    const field = (name: string) => reply[reply.indexOf(name) + 1];
    return field('num-slaves') === '1' && field('num-other-sentinels') === '2';
  };
  await vi.waitUntil(knows, { timeout: 20_000, interval: 100 });
  direct.close();
}
