import { type Context, Hono } from 'hono';
import { equalInConstantTime } from '../shared/apikey.ts';
import { bearerOf } from '../shared/credentials.ts';
import { Refusal } from '../shared/errors.ts';
import type { Keys } from '../shared/keys.ts';
import { RedisAway, RedisRefused } from '../shared/redis.ts';
import { catalogue } from '../shared/scripts/catalogue.ts';
import { textIn } from './body.ts';
import { type Commands, sha1 } from './redis.ts';

/**
 * The REST door to Redis, in Upstash's wire format (https://upstash.com/docs/redis/features/restapi), for edges that have
 * no Upstash. Only our scripts pass, by text or by digest, and only on keys of this deployment: whoever holds the token
 * can publish, and cannot FLUSHALL. Commands of concurrent requests share round trips (auto-pipelining in `redis.ts`).
 */
export function createRestDoor(redis: Commands, keys: Keys, token: string): Hono {
  const known = new Set<string>(catalogue.flatMap(({ lua }) => [lua, sha1(lua)]));

  function check(command: unknown): string[] {
    const isCommand = Array.isArray(command) && command.every((part) => /^(string|number)$/.test(typeof part));
    const [name, script, count, ...rest] = isCommand ? command.map(String) : [];
    if (name?.toUpperCase() === 'PING') return ['PING'];
    const names = rest.slice(0, Number(count));
    const ours =
      (name?.toUpperCase() === 'EVALSHA' || name?.toUpperCase() === 'EVAL') &&
      known.has(script ?? '') &&
      /^\d{1,4}$/.test(count ?? '') &&
      names.every((key) => key.startsWith(keys.tag));
    if (ours) return [name, script ?? '', count ?? '', ...rest];
    throw new Refusal(
      'command_refused',
      'Only the scripts of this version pass, on keys of this namespace. Deploy relays before edges.',
    );
  }

  async function run([name, ...args]: string[]): Promise<{ result: unknown } | { error: string }> {
    try {
      return { result: await redis.call(name!, args) };
    } catch (error) {
      if (error instanceof RedisRefused) return { error: error.message };
      throw error;
    }
  }

  const door = new Hono();
  door.use(async (c, next) => {
    const presented = bearerOf(c.req.header('authorization')) ?? '';
    if (equalInConstantTime(presented, token)) return next();
    return c.json({ error: 'Unauthorized' }, 401);
  });
  door.post('/', async (c) => {
    const answer = await run(check(JSON.parse(await textIn(c))));
    return 'error' in answer ? c.json(answer, 400) : c.json(encode(c, answer));
  });
  door.post('/pipeline', async (c) => {
    const commands = JSON.parse(await textIn(c));
    if (!Array.isArray(commands) || commands.length > 100) return c.json({ error: 'ERR not a pipeline' }, 400);
    const answers = await Promise.all(commands.map(check).map(run)); // nothing runs when one of them may not
    return c.json(answers.map((answer) => encode(c, answer)));
  });
  door.onError((error, c) => {
    if (error instanceof Refusal && error.code === 'credential_invalid') return c.json({ error: 'Unauthorized' }, 401);
    if (error instanceof Refusal && error.code === 'body_too_large')
      return c.json({ error: `ERR ${error.message}` }, 413);
    if (error instanceof Refusal) return c.json({ error: `NOPERM ${error.message}` }, 403);
    if (error instanceof SyntaxError) return c.json({ error: 'ERR not JSON' }, 400);
    if (error instanceof RedisAway) return c.json({ error: 'AWAY Redis did not answer' }, 503);
    throw error;
  });
  return door;
}

/** Clients that ask for it get every string in base64, except a bare OK: that is how Upstash does it. */
function encode(c: Context, answer: { result: unknown } | { error: string }) {
  if ('error' in answer || c.req.header('upstash-encoding') !== 'base64') return answer;
  return { result: base64(answer.result) };
}

function base64(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(base64);
  if (typeof value !== 'string' || value === 'OK') return value;
  return Buffer.from(value, 'utf8').toString('base64');
}
