import type { Keys } from '../keys.ts';
import { everyMicros, type Rate } from '../rate.ts';
import type { Script } from '../redis.ts';
import type { Revocable } from '../revocation.ts';

/** Who runs a script, and what he may. */
export interface Asked {
  /** Absent: nobody who could be revoked. */
  by?: Revocable | undefined;
  /** Whose allowance it is, hashed, and how large; absent: no limit. */
  limit?: { digest: string; rate: Rate } | undefined;
}

/**
 * The same script for whoever may have been revoked: looked up in the same run, before anything else. Throws RedisRefused
 * (revoked) with nothing changed. The last ARGV is the time of issue or ''; its two names, before it, and the key only then.
 */
export function guarded<Args, Reply>(script: Script<Args, Reply>): Script<Args & Pick<Asked, 'by'>, Reply> {
  return {
    name: script.name,
    lua: `
local ISSUED = tonumber(table.remove(ARGV))
if ISSUED then
  for _, entry in ipairs(redis.call('HMGET', table.remove(KEYS), table.remove(ARGV), table.remove(ARGV))) do
    if entry and tonumber(string.match(entry, '^%d+')) > ISSUED then return redis.error_reply('REVOKED credential') end
  end
end${script.lua}`,
    keys: (k, a) => [...script.keys(k, a), ...(a.by ? [k.revoked] : [])],
    args: (k, a) => [...script.args(k, a), ...(a.by ? [...a.by.names, String(a.by.issuedMs)] : [''])],
    reply: script.reply,
  };
}

/**
 * GCRA. Needs EVERY and WINDOW, microseconds, nil without a limit, and clock's `time`; takes LIMITER, when the allowance
 * is whole again, from the end of KEYS. `used` is how far ahead that is. Gives limited(count); spend(count), which writes
 * and so comes after all that can fail; and allowance() for the answer. Who is limited changes nothing.
 * A clock that jumped back costs one window, not the whole jump.
 */
export const limiter = `
local LIMITER = EVERY and table.remove(KEYS)
local micros, used = time[1] * 1000000 + time[2]
if LIMITER then used = math.min(math.max((tonumber(redis.pcall('GET', LIMITER)) or 0) - micros, 0), WINDOW) end
local function allowance() return used and string.format('%.0f', used) or '' end
local function limited(count)
  return used and used + count * EVERY > WINDOW and redis.error_reply('LIMITED ' .. allowance())
end
local function spend(count)
  if not used then return end
  used = used + count * EVERY
  redis.call('SET', LIMITER, string.format('%.0f', micros + used), 'PX', math.ceil(used / 1000))
end`;

/** The limiter's key, to stand last among those that the script is asked with. */
export function limiterKeys(k: Keys, { limit }: Asked): string[] {
  return limit ? [k.limiter(limit.digest)] : [];
}

/** EVERY and WINDOW. */
export function limiterArgs({ limit }: Asked): [string, string] {
  if (!limit) return ['', ''];
  const every = everyMicros(limit.rate);
  return [String(every), String(every * limit.rate.messages)];
}
