import { limits } from '../shared/limits.ts';
import { Faults, readSettings, type Settings } from '../shared/settings.ts';
import { parseRedisUrl, type RedisAddress, redisUrlRule } from './address.ts';

export interface Config extends Settings {
  redis: RedisAddress;
  host: string;
  /** 0 = any free port. */
  port: number;
  /** What edges present at the REST door; absent = the door is shut. */
  restToken: string | undefined;
  /** What edges present to have messages delivered live while Redis is away; absent = they cannot. */
  degradedToken: string | undefined;
  console: { edgeUrl: string; publishKey: string | undefined } | undefined;
  heartbeatMs: number;
  /** Streams at once; whoever comes beyond is asked to come back. */
  readersMax: number;
  /** Streams of one token's subject, and of one address without a credential, at once; absent = `readersMax` alone. */
  subjectStreamsMax: number;
  addressStreamsMax: number | undefined;
  /** How many proxies of ours a request comes through, each of which adds to X-Forwarded-For; 0 = none is believed. */
  trustProxy: number;
  /** How long a stopping relay takes to send its readers away. */
  drainMs: number;
  /** About how often this relay tries to drop what is known of long-quiet channels. */
  janitorMs: number;
  logLevel: string;
}

const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'];

/** The relay's configuration from its environment. Throws one error that names every fault. */
export function readConfig(env: Record<string, string | undefined>): Config {
  const faults = new Faults();
  const settings = readSettings(env, faults);
  const host = env.HOST || '127.0.0.1';
  const nowhere: RedisAddress = { mode: 'single', url: '' };
  const redis = faults.read('REDIS_URL', env.REDIS_URL, nowhere, parseRedisUrl, redisUrlRule);
  if (!env.REDIS_URL) faults.list.push('REDIS_URL: is missing; e.g. redis://127.0.0.1:6379');
  const edgeUrl = faults.read('EDGE_URL', env.EDGE_URL, '', parseHttpUrl, 'an http or https URL');
  const config: Config = {
    ...settings,
    redis,
    host,
    port: faults.read('PORT', env.PORT, 8788, wholeNumber(0, 65_535), 'a port number'),
    restToken: faults.read('REST_TOKEN', env.REST_TOKEN, undefined, parseSecret, SECRET_RULE),
    degradedToken: faults.read('DEGRADED_TOKEN', env.DEGRADED_TOKEN, undefined, parseSecret, SECRET_RULE),
    console: env.CONSOLE === '1' ? { edgeUrl, publishKey: env.CONSOLE_KEY || undefined } : undefined,
    heartbeatMs: faults.read(
      'HEARTBEAT_MS',
      env.HEARTBEAT_MS,
      limits.heartbeatMs,
      wholeNumber(100, 60_000),
      'milliseconds from 100 to 60000',
    ),
    readersMax: faults.read('READERS_MAX', env.READERS_MAX, 50_000, wholeNumber(1, 10_000_000), 'a number of streams'),
    subjectStreamsMax: faults.read(
      'STREAMS_PER_SUBJECT_MAX',
      env.STREAMS_PER_SUBJECT_MAX,
      100,
      wholeNumber(1, 10_000_000),
      'a number of streams',
    ),
    addressStreamsMax: faults.read<number | undefined>(
      'STREAMS_PER_ADDRESS_MAX',
      env.STREAMS_PER_ADDRESS_MAX,
      undefined,
      wholeNumber(1, 10_000_000),
      'a number of streams',
    ),
    trustProxy: faults.read('TRUST_PROXY', env.TRUST_PROXY, 0, wholeNumber(0, 9), 'a number of proxies'),
    drainMs: faults.read('DRAIN_MS', env.DRAIN_MS, 5_000, wholeNumber(0, 600_000), 'milliseconds up to 600000'),
    janitorMs: faults.read(
      'JANITOR_MS',
      env.JANITOR_MS,
      600_000,
      wholeNumber(100, 86_400_000),
      'milliseconds from 100 to 86400000',
    ),
    logLevel: faults.read(
      'LOG_LEVEL',
      env.LOG_LEVEL,
      'info',
      (text) => (LEVELS.includes(text) ? text : undefined),
      `one of ${LEVELS.join(', ')}`,
    ),
  };
  if (config.console?.publishKey && !isLoopback(host)) {
    faults.list.push('CONSOLE_KEY: would give a key to whoever opens the console; only with HOST on loopback');
  }
  faults.settle('The relay');
  return config;
}

/** Whether an address is this machine only: there, and nowhere else, development keys count. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}

function wholeNumber(min: number, max: number) {
  return (text: string): number | undefined => {
    const n = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
    return n >= min && n <= max ? n : undefined;
  };
}

const SECRET_RULE = 'use at least 32 characters, e.g. the output of: openssl rand -hex 32';

function parseSecret(text: string): string | undefined {
  return text.length >= 32 ? text : undefined;
}

function parseHttpUrl(text: string): string | undefined {
  return URL.canParse(text) && /^https?:/.test(text) ? text.replace(/\/$/, '') : undefined;
}
