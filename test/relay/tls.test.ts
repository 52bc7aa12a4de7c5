import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { startChild } from '../../dev/child.ts';
import { freePort, isFree } from '../../dev/ports.ts';
import { type RunningRedis, redisServer, startRedis } from '../../dev/redis.ts';
import { connectDirect, type Direct } from '../helpers/redis.ts';
import { relayOn } from '../helpers/relay-on.ts';
import { nothingWrong, publishEach, tally } from '../helpers/tally.ts';

/** What the guide tells to give the relay's user, word for word. */
const guide = await readFile(new URL('../../docs/operations.md', import.meta.url), 'utf8');
const rights = /^ACL SETUSER edgewire on >secret (.+)$/m.exec(guide)![1]!.split(' ');

let dir: string;
let missing: string | undefined;
let tls: string[];
let trusted: Record<string, string>;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'edgewire-tls-'));
  try {
    makeCertificate(dir);
  } catch {
    missing = 'there is no openssl to make a certificate with';
    return;
  }
  const [key, certificate] = [join(dir, 'key.pem'), join(dir, 'certificate.pem')];
  tls = [
    '--tls-cert-file',
    certificate,
    '--tls-key-file',
    key,
    '--tls-ca-cert-file',
    certificate,
    '--tls-auth-clients',
    'no',
  ];
  trusted = { NODE_EXTRA_CA_CERTS: certificate };
  try {
    await (await start('probe')).redis.kill();
  } catch (error) {
    if (!/Bad directive|not built|wrong number of arguments/i.test(String(error))) throw error;
    missing = 'this redis-server was built without TLS';
  }
});
afterAll(() => rm(dir, { recursive: true, force: true }));

/** For itself, for loopback. */
function makeCertificate(dir: string): void {
  const subject = ['-subj', '/CN=edgewire test', '-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost'];
  const out = ['-keyout', join(dir, 'key.pem'), '-out', join(dir, 'certificate.pem')];
  const options = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', ...subject, ...out];
  execFileSync('openssl', ['req', '-x509', ...options], { stdio: 'ignore' });
}

async function start(name: string, args: string[] = []): Promise<{ redis: RunningRedis; port: number }> {
  const port = await freePort();
  const user = ['--user', 'edgewire', 'on', '>p@ss/word', ...rights];
  const all = ['--tls-port', String(port), ...tls, ...user, ...args];
  const redis = await startRedis({ dir: join(dir, name), persist: false, args: all });
  return { redis, port };
}

const USER = 'edgewire:p%40ss%2Fword';

/** The relay, reached by this URL, does its work: live, by pattern, and resumed. */
async function works(url: string, direct: Direct): Promise<void> {
  const relay = await relayOn(url, trusted);
  const live = [await relay.open('channel=a'), await relay.open('pattern=u:*')];
  const acked = await publishEach(direct, ['a', 'u:1'], 40);
  expect(await tally(live[0]!, 'channel=a', acked)).toEqual(nothingWrong);
  expect(await tally(live[1]!, 'pattern=u:*', acked)).toEqual(nothingWrong);
  const back = await relay.open('pattern=*', acked[9]!.id);
  expect(await tally(back, 'pattern=*', acked.slice(10))).toEqual(nothingWrong);
  expect(await relay.metric('repaired_total')).toBe(0);
}

async function directly(url: string): Promise<Direct> {
  const direct = await connectDirect(url);
  onTestFinished(() => direct.close());
  return direct;
}

describe('TLS and a user of limited rights, by URL alone', () => {
  test('to one server, in a database of its own', async (context) => {
    if (missing) return context.skip(missing);
    const { redis, port } = await start('single');
    onTestFinished(() => redis.kill());
    await works(`rediss://${USER}@127.0.0.1:${port}/2`, await directly(`${redis.url}/2`));
    expect(await (await directly(redis.url)).call('DBSIZE', [])).toBe(0);
  });

  test('to the primary that a Sentinel names', async (context) => {
    if (missing) return context.skip(missing);
    const { redis, port } = await start('watched', ['--tls-replication', 'yes']);
    onTestFinished(() => redis.kill());
    const sentinelPort = await freePort();
    const config = join(dir, 'sentinel.conf');
    const lines = [`port 0`, `tls-port ${sentinelPort}`, 'tls-replication yes', `dir ${dir}`, 'requirepass watching'];
    for (let i = 0; i < tls.length; i += 2) lines.push(`${tls[i]!.slice(2)} ${tls[i + 1]}`);
    await writeFile(config, `${[...lines, `sentinel monitor main 127.0.0.1 ${port} 1`].join('\n')}\n`);
    const sentinel = await startChild({
      name: 'redis-sentinel',
      command: redisServer(),
      args: [config, '--sentinel'],
      env: process.env,
      ready: async () => !(await isFree(sentinelPort)),
      readyMsMax: 15_000,
    });
    onTestFinished(() => sentinel.kill());
    const url = `rediss+sentinel://${USER}@localhost:${sentinelPort}/main/1?sentinelPassword=watching`;
    await works(url, await directly(`${redis.url}/1`));
  });

  test('to a Cluster', async (context) => {
    if (missing) return context.skip(missing);
    const busPort = String(await freePort());
    const cluster = ['--cluster-enabled', 'yes', '--cluster-port', busPort, '--tls-cluster', 'yes'];
    const { redis, port } = await start('cluster', cluster);
    onTestFinished(() => redis.kill());
    const direct = await directly(redis.url);
    await direct.call('CLUSTER', ['ADDSLOTSRANGE', '0', '16383']);
    await expect.poll(() => direct.call('CLUSTER', ['INFO']), { timeout: 10_000 }).toMatch('cluster_state:ok');
    await works(`rediss+cluster://${USER}@localhost:${port}`, direct);
  });

  test.each([
    ['whose certificate nobody vouches for', 'rediss', USER, /self-signed certificate/],
    ['with a wrong password', 'rediss', 'edgewire:wrong', /WRONGPASS/],
    ['without TLS where it is asked for', 'redis', USER, /./],
  ])('%s there is no connection, and the log says why', async (name, scheme, user, reason) => {
    if (missing) return;
    const { redis, port } = await start(`refused-${scheme}-${user.length}`);
    onTestFinished(() => redis.kill());
    const environment = name.includes('vouches') ? {} : trusted;
    const url = `${scheme}://${user}@127.0.0.1:${port}`;
    const relay = await relayOn(url, environment, '/healthz');
    await expect.poll(() => relay.output(), { timeout: 10_000 }).toMatch(/"Redis connection"/);
    expect(relay.output()).toMatch(reason);
    expect(relay.output()).not.toContain(user.split(':')[1]);
    expect((await fetch(`${relay.url}/readyz`)).status).toBe(503);
  });
});
