import { errors, Redis as Upstash } from '@upstash/redis/cloudflare';
import type { Keys } from '../shared/keys.ts';
import { limits } from '../shared/limits.ts';
import { type Redis, RedisAway, RedisRefused, type Script } from '../shared/redis.ts';

/**
 * The port over Upstash's REST client, its only importer. One HTTP request for each run, one more after NOSCRIPT. The
 * client neither retries (`edge/tries.ts` does, where that is safe), nor bundles, nor guesses types. One client serves every request of an isolate: it holds no connection.
 */
export function connectRedis({ url, token }: { url: string; token: string }, keys: Keys): Redis {
  const client = new Upstash({
    url,
    token,
    retry: { retries: 0 }, // `false` still tries twice
    enableAutoPipelining: false,
    automaticDeserialization: false, // else the text `1` comes back as a number
    enableTelemetry: false,
    readYourWrites: false,
    responseEncoding: false, // our replies are valid UTF-8, so JSON carries them as they are
    // A function: given a bare signal, the client turns the time-out into a fake answer of 200.
    signal: () => AbortSignal.timeout(limits.redisTryMsMax),
  });
  const digests = new Map<string, string>();

  return {
    async run<Args, Reply>(script: Script<Args, Reply>, args: Args): Promise<Reply> {
      const sha1 = digests.get(script.lua) ?? (await sha1Hex(script.lua));
      digests.set(script.lua, sha1);
      const names = script.keys(keys, args);
      const values = script.args(keys, args);
      try {
        return script.reply(await answered(client.evalsha(sha1, names, values)), args);
      } catch (error) {
        // Unknown script: it never ran, so sending its text is no repetition.
        if (!(error instanceof RedisRefused) || error.kind !== 'noscript') throw error;
        return script.reply(await answered(client.eval(script.lua, names, values)), args);
      }
    },
  };
}

async function answered(reply: Promise<unknown>): Promise<unknown> {
  try {
    return await reply;
  } catch (error) {
    throw translate(error);
  }
}

/**
 * Redis's own errors begin with an upper-case word. Everything else (time-out, a proxy's page, a server that is loading or
 * was demoted, AWAY from our relay's door) means that no answer can be had now. Nothing is passed on that could hold a
 * caller's data: the client appends the whole command to an error, and quotes answers that it cannot parse.
 */
function translate(error: unknown): Error {
  if (error instanceof errors.UpstashJSONParseError) return new RedisAway('an answer that is not JSON');
  if (!(error instanceof errors.UpstashError)) return new RedisAway(String(error).slice(0, 200));
  const message = error.message.split(', command was:', 1)[0]!.slice(0, 200);
  const isAnswer = /^[A-Z]+ /.test(message);
  const isPassing = /^(AWAY|LOADING|MASTERDOWN|READONLY|TRYAGAIN|CLUSTERDOWN|BUSY|NOREPLICAS)/.test(message);
  return isAnswer && !isPassing ? new RedisRefused(message) : new RedisAway(message);
}

/** SHA-1 is Redis's own name for a script, not a protection. */
async function sha1Hex(text: string): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-1', new TextEncoder().encode(text)));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
