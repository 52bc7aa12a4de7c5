import { setTimeout as pause } from 'node:timers/promises';
import { parseRedisUrl } from '../../relay/address.ts';
import { type Commands, connectCommands } from '../../relay/redis.ts';
import type { Channel } from '../../shared/channel.ts';
import { keysOf } from '../../shared/keys.ts';
import { RedisRefused, type Script } from '../../shared/redis.ts';
import { type PublishArgs, type PublishReply, publish } from '../../shared/scripts/publish.ts';

export interface Acked {
  id: string;
  channel: string;
  n: number;
  /** When the publish began and was acknowledged, by performance.now(). */
  began: number;
  at: number;
}

export const keys = keysOf('default');
export const CHANNELS = ['a', 'b', 'c', 'u:1', 'u:2'];
/** Not kept: what is missing of it can only be declared. */
export const FLEETING = 'fleeting';

type Publish = Script<PublishArgs, PublishReply>;

/** The publish script without its PUBLISH: what a message looks like that pub/sub loses. */
const unsent: Publish = { ...publish, lua: replaced(publish.lua, 'send(message.channel, envelope)', '') };

/** Publishers that differ from the real one by one line of the script. */
export const wrongScripts: Record<string, Publish> = {
  'a message is sent before it is kept': {
    ...publish,
    lua: replaced(
      publish.lua,
      "local added = redis.pcall('XADD'",
      `redis.call('PUBLISH', string.match(CLOCK, '^(.*)clock$') .. 'c:' .. m.channel,
        '1 ' .. position .. ' ' .. previous .. ' ' .. epoch .. ' ' .. m.channel .. '\\n' .. line)
      local added = redis.pcall('XADD'`,
    ),
  },
  'ids follow the clock wherever it goes': {
    ...publish,
    lua: replaced(publish.lua, 'if now > ms then ms, seq = now, 0', 'if now ~= ms then ms, seq = now, 0'),
  },
};

function replaced(lua: string, what: string, by: string): string {
  if (!lua.includes(what)) throw new Error(`the publish script has no "${what}" any more`);
  return lua.replace(what, () => by);
}

export interface LoadOptions {
  random: () => number;
  /** Pauses between the messages of one publisher. */
  pauseMs: number;
  publishers: number;
  bodyBytes: number;
  channels: readonly string[];
  /** Publishes and answers the id; RedisRefused means that nothing happened, anything else that nobody knows. */
  send(channel: string, n: number, lost: boolean): Promise<string>;
}

/** Publishers that go on whatever happens, and a list of what was acknowledged to them. */
export class Load {
  readonly acked: Acked[] = [];
  /** Numbers of messages that Redis refused: nobody may ever see them. */
  readonly refused = new Set<number>();
  unknown = 0;
  /** The share of messages that pub/sub loses. */
  loss = 0;
  pauseMs: number;
  readonly #options: LoadOptions;
  readonly #running: Promise<unknown>;
  #serial = 0;
  #stopped = false;
  #idle = false;

  constructor(options: LoadOptions) {
    this.#options = options;
    this.pauseMs = options.pauseMs;
    this.#running = Promise.all(Array.from({ length: options.publishers }, () => this.#publisher()));
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  async #publisher(): Promise<void> {
    while (!this.#stopped) {
      if (!this.#idle) await this.one();
      await pause(this.pauseMs);
    }
  }

  /** One message; whether it was acknowledged. */
  async one(channel = this.#pick(), lost = this.#options.random() < this.loss): Promise<boolean> {
    const n = ++this.#serial;
    const began = performance.now();
    try {
      const id = await this.#options.send(channel, n, lost);
      this.acked.push({ id, channel, n, began, at: performance.now() });
      return true;
    } catch (error) {
      if (error instanceof RedisRefused) this.refused.add(n);
      else this.unknown++;
      await pause(10);
      return false;
    }
  }

  #pick(): string {
    const { channels, random } = this.#options;
    if (this.#serial % 50 === 7) return `born:${this.#serial}`;
    if (this.#serial % 25 === 3) return FLEETING;
    return channels[Math.floor(random() * channels.length)]!;
  }

  /** Resolves when so many more were acknowledged. */
  async more(count: number, msMax = 20_000): Promise<void> {
    const target = this.acked.length + count;
    const deadline = performance.now() + msMax;
    while (this.acked.length < target) {
      if (performance.now() > deadline) throw new Error(`fewer than ${count} messages were taken in ${msMax} ms`);
      await pause(5);
    }
  }

  rest(idle: boolean): void {
    this.#idle = idle;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }
}

/** Publishes on a connection of its own, by the real script or a wrong one. */
export function directSender(url: string, bodyBytes: number, random: () => number, wrong?: string) {
  const commands: Commands = connectCommands(parseRedisUrl(url)!, keys, { onError: () => undefined });
  const script = wrong === undefined ? publish : wrongScripts[wrong];
  if (!script) throw new Error(`no such wrong publisher: ${wrong}`);
  const padding = bodyBytes > 0 ? `,"${'x'.repeat(bodyBytes)}"` : '';
  const seed = () => Array.from({ length: 10 }, () => Math.floor(random() * 36).toString(36)).join('');
  const send = async (channel: string, n: number, lost: boolean): Promise<string> => {
    const text = { head: `"channel":"${channel}","type":"t",`, body: `"data":[${n}${padding}]}` };
    const length = channel === FLEETING ? 0 : 10_000;
    const args = { channel: channel as Channel, ...text, seed: seed(), length, keepMs: 600_000, ttlMs: 0 };
    const reply = await commands.run(lost ? unsent : script, args);
    if (reply.status === 'conflict') throw new Error('no key, no conflict');
    return reply.id;
  };
  return { commands, send };
}
