import { mkdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { relayEnv } from '../../dev/environment.ts';
import { freePort } from '../../dev/ports.ts';
import { type RunningRedis, startRedis } from '../../dev/redis.ts';
import { type RunningRelay, startRelay } from '../../dev/relay.ts';
import { newSecrets, type Secrets } from '../../dev/secrets.ts';
import type { Commands } from '../../relay/redis.ts';
import { startWay, type Way } from '../helpers/proxy.ts';
import { CHANNELS, directSender, keys, Load, type LoadOptions } from './load.ts';
import { FaultReader, type Pace } from './reader.ts';

/** Every channel and pattern is heard from both relays. */
export const SUBSCRIPTIONS = [
  'channel=a',
  'channel=b&channel=c',
  'channel=a&channel=u:1&channel=fleeting',
  'pattern=u:*',
  'channel=b&pattern=born:*',
  'pattern=*',
];

export interface SceneSettings {
  /** Default `everysec`; `none`: no append-only file. */
  aof?: 'always' | 'everysec' | 'none';
  redisArgs?: readonly string[];
  redisEnv?: Readonly<Record<string, string>>;
  /** Relays reach Redis without a way in between. */
  direct?: boolean;
  bodyBytes?: number;
  pauseMs?: number;
  publishers?: number;
  channels?: readonly string[];
  /** Default: SUBSCRIPTIONS on each relay. */
  subscriptions?: readonly string[];
  readersEach?: number;
  /** More readers on the first relay, of another pace. */
  paced?: readonly { pace: Pace; subscription: string }[];
  /** Whether a reader comes back when the server said, or within half a second. */
  returnsWhenAsked?: boolean;
  /** Whether readers of one relay may come back to the other. */
  roams?: boolean;
  relayEnv?: Readonly<Record<string, string>>;
}

export interface Wrong {
  /** A part of test/helpers/wrong-relay.ts... */
  relay?: string;
  /** ...or a script of load.ts... */
  publisher?: string;
  /** ...or a publisher at the edge. */
  edge?: string;
}

/** What one fault is tried on: a Redis, two relays, readers on both, publishers, and a way in between. */
export class Scene {
  readonly random: () => number;
  readonly settings: SceneSettings;
  readonly secrets: Secrets = newSecrets();
  readonly pids: number[] = [];
  readonly ways: Way[] = [];
  readonly relays: RunningRelay[] = [];
  readonly readers: FaultReader[] = [];
  /** Ends of faults. */
  readonly ends: number[] = [];
  dir = '';
  redis!: RunningRedis;
  commands!: Commands;
  load!: Load;
  /** The highest resident size of any relay, MiB. */
  rssMb = 0;
  /** Publishes that were tried again. */
  retries = 0;
  /** What a row wants to have said. */
  note = '';
  readonly wrong: Wrong;
  readonly #closing: (() => Promise<void>)[] = [];
  readonly #counted: Record<string, number> = {};

  constructor(settings: SceneSettings, random: () => number, wrong: Wrong) {
    this.settings = settings;
    this.random = random;
    this.wrong = wrong;
  }

  async start(send?: (scene: Scene) => Promise<LoadOptions['send']>): Promise<void> {
    const { settings, random } = this;
    this.dir = await mkdtemp(join(tmpdir(), 'edgewire-faults-'));
    await this.startRedis();
    for (let i = 0; i < 2; i++) {
      this.ways.push(await startWay(this.redis.port));
      await this.startRelay(i);
    }
    const { bodyBytes = 20 } = settings;
    const sender = directSender(this.redis.url, bodyBytes, random, this.wrong.publisher);
    this.commands = sender.commands;
    await until(() => this.commands.ready, 'the publisher is connected');
    const { subscriptions = SUBSCRIPTIONS, readersEach = 1, paced = [] } = settings;
    for (let round = 0; round < readersEach; round++) {
      for (const i of [0, 1]) for (const subscription of subscriptions) this.#read(i, subscription, 'fast');
      if (round % 100 === 99) await until(() => this.allOpen(), 'readers are open', 60_000);
    }
    for (const { pace, subscription } of paced) this.#read(0, subscription, pace);
    await until(() => this.allOpen(), 'readers are open', 60_000);
    const { pauseMs = 8, publishers = 4, channels = CHANNELS } = settings;
    const sends = send ? await send(this) : sender.send;
    this.load = new Load({ random, pauseMs, publishers, bodyBytes, channels, send: sends });
    await this.load.more(10);
  }

  #read(relay: number, subscription: string, pace: Pace): void {
    const { returnsWhenAsked, roams } = this.settings;
    let tries = relay;
    const url = () => this.relays[roams ? tries++ % 2 : relay]!.url;
    const waitMs = (asked: number) => (returnsWhenAsked ? asked : 50 + this.random() * 400);
    this.readers.push(new FaultReader({ url, subscription, pace, waitMs }));
  }

  allOpen(): boolean {
    return this.readers.every(({ isOpen }) => isOpen);
  }

  async startRedis(): Promise<void> {
    const { aof = 'everysec', redisArgs = [], redisEnv = {} } = this.settings;
    const dir = join(this.dir, 'redis');
    mkdirSync(dir, { recursive: true });
    const fsync = aof === 'always' ? ['--appendfsync', 'always'] : [];
    this.redis = await startRedis({
      dir,
      ...(this.redis && { port: this.redis.port }),
      persist: aof !== 'none',
      args: [...fsync, ...redisArgs],
      env: redisEnv,
    });
    this.pids.push(this.redis.pid);
  }

  async startRelay(i: number): Promise<void> {
    const old = this.relays[i];
    const { direct, relayEnv: more } = this.settings;
    const relayPort = old ? Number(new URL(old.url).port) : await freePort();
    const redisUrl = direct ? this.redis.url : `redis://127.0.0.1:${this.ways[i]!.port}`;
    const env = relayEnv({ edgePort: 1, relayPort, redisUrl, secrets: this.secrets });
    const own = { HEARTBEAT_MS: '1000', LOG_LEVEL: 'error', DRAIN_MS: '1000', ...more };
    const { relay: wrong } = this.wrong;
    this.relays[i] = await startRelay(
      wrong
        ? { env: { ...env, ...own, WRONG: wrong }, entry: 'test/helpers/wrong-relay.ts' }
        : { env: { ...env, ...own } },
    );
    this.pids.push(this.relays[i]!.pid);
  }

  /** The fault is over now: recovery is counted from here. */
  ended(): void {
    this.ends.push(performance.now());
  }

  /** Relays cannot reach Redis while `during` runs and some messages are taken: what a relay must read back. */
  async away(during: () => Promise<unknown> = async () => undefined, messages = 40): Promise<void> {
    for (const way of this.ways) way.shut();
    try {
      await during();
      await until(() => this.commands.ready, 'Redis is back');
      await this.load.more(messages);
    } finally {
      for (const way of this.ways) way.open();
    }
    this.ended();
    await this.ready();
  }

  async ready(): Promise<void> {
    for (const { url } of this.relays) {
      await until(async () => (await fetch(`${url}/readyz`)).ok, 'relays are ready', 20_000);
    }
  }

  /** Keeps what a relay counted, which ends with it. */
  async noteMetrics(relay: RunningRelay): Promise<void> {
    this.noteRss(relay);
    const text = await fetch(`${relay.url}/metrics`).then(
      (answer) => answer.text(),
      () => '',
    );
    for (const [, name, value] of text.matchAll(/^edgewire_(\w+)(?:\{[^}]*\})? (\S+)$/gm)) {
      this.#counted[name!] = (this.#counted[name!] ?? 0) + Number(value);
    }
  }

  /** Sums over relays and labels, of those noted. */
  counted(name: string): number {
    return this.#counted[name] ?? 0;
  }

  noteRss({ pid }: RunningRelay): void {
    try {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      this.rssMb = Math.max(this.rssMb, Math.round(Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024));
    } catch {
      // No /proc here (macOS), or it has just ended: then the size is not told.
    }
  }

  /** Ids of everything that Redis keeps. */
  async history(): Promise<Set<string>> {
    const ids = new Set<string>();
    const names = (await this.commands.call('KEYS', [`${keys.tag}s:*`])) as string[];
    for (const name of names) {
      const rows = (await this.commands.call('XRANGE', [name, '-', '+'])) as [string, string[]][];
      for (const [position, fields] of rows) ids.add(`${fields[5]}-${position}`);
    }
    return ids;
  }

  /** A process that a row started by itself, and how it is ended. */
  atEnd(close: () => Promise<void>, pid: number): void {
    this.#closing.push(close);
    this.pids.push(pid);
  }

  /** Processor time that Redis has used, ms. */
  async redisCpuMs(): Promise<number> {
    const info = String(await this.commands.call('INFO', ['cpu']));
    const seconds = ['used_cpu_user', 'used_cpu_sys'].map((name) => Number(info.split(`${name}:`)[1]?.split('\r')[0]));
    return Math.round(1000 * (seconds[0]! + seconds[1]!));
  }

  /** Ends everything; answers how many of its processes are left. */
  async stop(): Promise<number> {
    await this.load?.stop();
    for (const reader of this.readers) reader.stop();
    for (const close of this.#closing) await close();
    this.commands?.close();
    await Promise.all(this.relays.map((relay) => relay.kill()));
    for (const way of this.ways) await way.stop();
    await this.redis?.kill();
    await rm(this.dir, { recursive: true, force: true });
    return this.pids.filter(isAlive).length;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

export async function until(holds: () => boolean | Promise<boolean>, what: string, msMax = 15_000): Promise<void> {
  const deadline = performance.now() + msMax;
  while (!(await Promise.resolve(holds()).catch(() => false))) {
    if (performance.now() > deadline) throw new Error(`not within ${msMax} ms: ${what}`);
    await pause(10);
  }
}
