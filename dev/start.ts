/**
 * `npm start`: a private Redis, the relay with its REST door and console, and the edge in workerd, until Ctrl-C.
 * `.dev/stack.json` tells programs where everything is; it exists only while all of it answers.
 */
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inspect, styleText } from 'node:util';
import { CannotStart, type Child, tail } from './child.ts';
import { startEdge } from './edge.ts';
import { edgeVars, relayEnv } from './environment.ts';
import { findRedisCli, root } from './find.mjs';
import { takeLock } from './lock.ts';
import { choosePorts } from './ports.ts';
import { startRedis } from './redis.ts';
import { startRelay } from './relay.ts';
import { secretsIn } from './secrets.ts';

/** npm may be killed without a word to us; then our parent becomes someone else. */
const parentCheckEveryMs = 500;
/** Nobody else is there whom the readers would overrun by coming back at once, and Ctrl-C should not take long. */
const drainMs = 500;

const dir = join(root, '.dev');
const logs = join(dir, 'logs');
const stackFile = join(dir, 'stack.json');
const { env } = process;

mkdirSync(logs, { recursive: true });
// A closed terminal or `npm start | head` must not keep us from leaving in order.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});

const lock = await takeLock(join(dir, 'start.lock'));
if ('heldBy' in lock) {
  say(`Edgewire is already running in this folder (process ${lock.heldBy}).\n${whereItRuns()}`);
  process.exit(1);
}
rmSync(stackFile, { force: true });

const leaving = new AbortController();
const running: Child[] = [];
const { signal } = leaving;
/** Of a failure. Told last, below whatever the stopping says. */
let cause: string | undefined;
signal.addEventListener('abort', () => running.length > 0 && say('Stopping...'));
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => leaving.abort());
const parent = process.ppid;
setInterval(() => process.ppid === parent || leaving.abort(), parentCheckEveryMs).unref();

try {
  await run();
} catch (error) {
  fail(error instanceof CannotStart ? error.message : inspect(error));
}
rmSync(stackFile, { force: true });
for (const child of running.reverse()) await child.stop();
lock.release();
say(cause ?? `Stopped.${env.REDIS_URL ? '' : ' Data stays in .dev/redis.'}`);
process.exit(cause ? 1 : 0);

/** The first failure is the cause; what ends after it was stopped by us. */
function fail(why: string): void {
  if (signal.aborted) return;
  cause = why;
  leaving.abort();
}

/** Returns when told to leave. */
async function run(): Promise<void> {
  const secrets = secretsIn(join(dir, 'secrets.json'));
  const { edgePort, relayPort, notes } = await choosePorts(env);
  for (const note of notes) say(note);

  const redisUrl = env.REDIS_URL || (await privateRedis());
  const stack = {
    edgePort,
    relayPort,
    redisUrl,
    secrets,
    namespace: env.NAMESPACE,
    retention: env.RETENTION,
    allowedOrigins: env.ALLOWED_ORIGINS,
    anonymousRead: env.ANONYMOUS_READ,
  };
  const relay = await startRelay({
    env: { DRAIN_MS: String(drainMs), ...env, ...relayEnv(stack) },
    logFile: join(logs, 'relay.log'),
    signal,
  });
  watch('The relay', relay);
  const edge = await startEdge({
    port: edgePort,
    vars: edgeVars(stack),
    dir: join(dir, 'edge'),
    logFile: join(logs, 'edge.log'),
    signal,
  });
  watch('The edge', edge);

  const consoleUrl = `${relay.url}/console`;
  const { publishKey } = secrets;
  const told = { edgeUrl: edge.url, relayUrl: relay.url, redisUrl, publishKey, consoleUrl, pid: process.pid };
  writeFileSync(stackFile, `${JSON.stringify(told, null, 2)}\n`, { mode: 0o600 });
  console.log(screen(told));
  if (!signal.aborted) await once(signal, 'abort');
}

async function privateRedis(): Promise<string> {
  const redis = await startRedis({ dir: join(dir, 'redis'), logFile: join(logs, 'redis.log'), signal });
  watch('Redis', redis);
  return redis.url;
}

/** One that dies takes all with it: half a stack answers some requests and puzzles whoever sent the others. */
function watch(name: string, child: Child): void {
  running.push(child);
  void child.exited.then((how) => {
    fail(`${name} ended (${how}), so everything stopped. Its last words:\n${tail(child.output())}`);
  });
}

interface Told {
  readonly edgeUrl: string;
  readonly relayUrl: string;
  readonly redisUrl: string;
  readonly publishKey: string;
  readonly consoleUrl: string;
}

function screen({ edgeUrl, relayUrl, redisUrl, publishKey, consoleUrl }: Told): string {
  const bold = (text: string) => styleText('bold', text);
  const dim = (text: string) => styleText('dim', text);
  const redis = new URL(redisUrl);
  const readBy = env.ANONYMOUS_READ ?? '*';
  const everybody = readBy === '*';
  const who = everybody ? 'everybody may read (development)' : `without a key: ${readBy || 'nothing'}`;
  const authorization = `-H 'Authorization: Bearer ${publishKey}'`;
  const redisCli = env.REDIS_URL ? undefined : findRedisCli();
  const look = redisCli ? `\n             ${dim(`${redisCli} -u ${redisUrl}`)}` : '';
  return `
  ${bold('Edgewire is running.')}

    Console  ${bold(consoleUrl)}
    Edge     ${edgeUrl}  ${dim('publish here')}
    Relay    ${relayUrl}  ${dim(`read here; ${who}`)}
    Redis    ${redis.protocol}//${redis.host}  ${dim(env.REDIS_URL ? 'yours' : 'data in .dev/redis')}${look}

  ${bold('Read a channel')} ${everybody ? dim('(a browser: new EventSource of the same URL)') : ''}

    curl -N '${relayUrl}/v1/stream?channel=demo'${everybody ? '' : ` ${authorization}`}

  ${bold('Publish to it')}

    curl ${edgeUrl}/v1/channels/demo/messages \\
      ${authorization} \\
      -H 'Content-Type: application/json' \\
      -d '{"hello":"world"}'

  ${dim('Logs are in .dev/logs. Ctrl-C stops everything.')}
`;
}

function whereItRuns(): string {
  if (!existsSync(stackFile)) return 'It is still starting.';
  const { edgeUrl, relayUrl, consoleUrl } = JSON.parse(readFileSync(stackFile, 'utf8')) as Told;
  return `Edge ${edgeUrl}, relay ${relayUrl}, console ${consoleUrl}`;
}

function say(line: string): void {
  console.error(line);
}
