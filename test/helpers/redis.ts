import { parseRedisUrl } from '../../relay/address.ts';
import { type Commands, connectCommands } from '../../relay/redis.ts';
import { parseChannel } from '../../shared/channel.ts';
import { type Keys, keysOf } from '../../shared/keys.ts';
import { compose } from '../../shared/message.ts';
import { publish } from '../../shared/scripts/publish.ts';

/** Redis without HTTP in between: thousands of publishes a second, and whatever a test wants to break. */
export interface Direct extends Commands {
  keys: Keys;
  /** Publishes through the real script; answers the id. `length` 0: not kept. */
  publish(channel: string, data: unknown, more?: { length?: number; keepMs?: number; ttlMs?: number }): Promise<string>;
  /** Everything in Redis, byte for byte: DUMP of every key, and its expiry in whole seconds unless `withTtl` is false. */
  dump(): Promise<Record<string, string>>;
}

export async function connectDirect(url: string, namespace = 'default'): Promise<Direct> {
  const keys = keysOf(namespace);
  const commands = connectCommands(parseRedisUrl(url)!, keys, { onError: () => undefined });
  while (!commands.ready) await new Promise((resolve) => setTimeout(resolve, 5));
  const direct: Direct = Object.assign(Object.create(commands), {
    keys,
    async publish(name: string, data: unknown, more: { length?: number; keepMs?: number; ttlMs?: number } = {}) {
      const channel = parseChannel(name);
      if (!channel) throw new Error(`${name} is no channel`);
      const { head, body } = compose({ channel, type: 'test', json: JSON.stringify(data) });
      const seed = Math.random().toString(36).slice(2, 12).padEnd(10, '0');
      const defaults = { length: 10_000, keepMs: 3600_000, ttlMs: 0 };
      const reply = await commands.run(publish, { channel, head, body, seed, ...defaults, ...more });
      if (reply.status === 'conflict') throw new Error('a publish without a key cannot conflict');
      return reply.id;
    },
    async dump() {
      const names = ((await commands.call('KEYS', ['*'])) as string[]).sort();
      const values = await Promise.all(names.map((name) => commands.call('OBJECT', ['ENCODING', name])));
      const out: Record<string, string> = {};
      for (const [i, name] of names.entries()) out[name] = `${values[i]} ${await digest(commands, name)}`;
      return out;
    },
  });
  return direct;
}

/** DEBUG DIGEST-VALUE: a hash over the value, whatever its type. */
async function digest(commands: Commands, name: string): Promise<string> {
  const [value] = (await commands.call('DEBUG', ['DIGEST-VALUE', name])) as string[];
  return String(value);
}
