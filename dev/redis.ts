import { mkdirSync } from 'node:fs';
import { connect } from 'node:net';
import { CannotStart, type Child, startChild } from './child.ts';
import { findRedisServer } from './find.mjs';
import { freePort } from './ports.ts';

/** Finding a port and taking it are two steps; someone may come between. */
const triesMax = 5;
/** Loading a large append-only file takes a while: about 1 s per 100 MB. */
const readyMsMax = 60_000;

export interface RedisOptions {
  /** Where its data lives. Made when missing. One server at a time. */
  readonly dir: string;
  /** Default: any free one. Given explicitly, it is this one or an error. */
  readonly port?: number;
  /** Default true: an append-only file, written through once a second. False: nothing survives a stop. */
  readonly persist?: boolean;
  /** More settings, as on redis-server's command line. They come last and so win. */
  readonly args?: readonly string[];
  /** Over ours. */
  readonly env?: Readonly<NodeJS.ProcessEnv>;
  readonly logFile?: string;
  readonly signal?: AbortSignal;
}

export interface RunningRedis extends Child {
  readonly url: string;
  readonly port: number;
}

/** A real redis-server of our own on 127.0.0.1, answering when this resolves. */
export async function startRedis(options: RedisOptions): Promise<RunningRedis> {
  const command = redisServer();
  mkdirSync(options.dir, { recursive: true });
  for (let tries = 1; ; tries++) {
    const port = options.port ?? (await freePort());
    try {
      const child = await startOn(port, command, options);
      return { ...child, url: `redis://127.0.0.1:${port}`, port };
    } catch (error) {
      const portWasTaken = /Address already in use/.test(String(error));
      if (!portWasTaken || options.port !== undefined || tries === triesMax) throw error;
    }
  }
}

/** The program, which is also `redis-sentinel`. */
export function redisServer(): string {
  const command = findRedisServer();
  if (!command) throw new CannotStart('redis-server is missing: run `node dev/ensure.mjs start`.');
  return command;
}

function startOn(port: number, command: string, options: RedisOptions) {
  const { dir, persist = true, args = [], env, logFile, signal } = options;
  const settings = {
    bind: '127.0.0.1',
    port: String(port),
    dir,
    appendonly: persist ? 'yes' : 'no',
    appendfsync: 'everysec',
    save: '', // Snapshots add nothing to the append-only file, and would make a stop slow.
    'maxmemory-policy': 'noeviction', // An evicted key is a message lost silently.
  };
  return startChild({
    name: 'redis-server',
    command,
    args: [...Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]), ...args],
    env: { ...process.env, ...env },
    logFile,
    ready: (pid) => isOurs(port, pid),
    readyMsMax,
    signal,
  });
}

/** Answers PING with PONG (not LOADING), and is the process that we started, not one that was on the port before. */
function isOurs(port: number, pid: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    let reply = '';
    socket.setEncoding('utf8').setTimeout(2_000, () => socket.destroy(new Error('no answer')));
    socket.on('data', (text: string) => {
      reply += text;
    });
    socket.once('error', reject);
    socket.once('close', () => resolve(reply.startsWith('+PONG') && reply.includes(`process_id:${pid}\r\n`)));
    socket.write('PING\r\nINFO server\r\nQUIT\r\n');
  });
}
