import type { Script } from '../redis.ts';
import { type Asked, guarded } from './asked.ts';

/** Asks nothing but whether the caller may still ask. */
export const admit: Script<Pick<Asked, 'by'>, void> = guarded({
  name: 'admit',
  lua: '\nreturn 1',
  keys: () => [],
  args: () => [],
  reply: () => undefined,
});

export interface RevokeArgs {
  name: string;
  beforeMs: number;
  /** When no credential that it concerns can be valid any more. */
  untilMs: number;
  /** At most so many are in force at once. */
  revocationsMax: number;
}

/**
 * Revokes, from this run on for every script, and tells all relays, as they say in the clock that they listen. False when
 * too many are in force.
 */
export const revoke = guarded<RevokeArgs, boolean>({
  name: 'revoke',
  lua: `
local REVOKED, NAME, BEFORE = KEYS[1], ARGV[1], ARGV[2]
local known = redis.call('HGET', REVOKED, NAME)
if not known and redis.call('HLEN', REVOKED) >= tonumber(ARGV[4]) then return 0 end
if not known or tonumber(string.match(known, '^%d+')) < tonumber(BEFORE) then
  redis.call('HSET', REVOKED, NAME, BEFORE .. ' ' .. ARGV[3])
end
redis.call(redis.call('HGET', KEYS[2], 'p') or 'PUBLISH', string.match(REVOKED, '^(.*)revoked$') .. 'control', '3 ' .. BEFORE .. ' ' .. NAME)
return 1`,
  keys: (k) => [k.revoked, k.clock],
  args: (_, a) => [a.name, String(a.beforeMs), String(a.untilMs), String(a.revocationsMax)],
  reply: (raw) => raw === 1,
});

/** All that is revoked, by name; what no valid credential can meet any more is dropped on the way. */
export const revocations: Script<object, Map<string, number>> = {
  name: 'revocations',
  lua: `
local time = redis.call('TIME')
local all, kept = redis.call('HGETALL', KEYS[1]), {}
for i = 1, #all, 2 do
  if tonumber(string.match(all[i + 1], '%d+$')) < time[1] * 1000 then
    redis.call('HDEL', KEYS[1], all[i])
  else
    kept[#kept + 1] = all[i]
    kept[#kept + 1] = string.match(all[i + 1], '^%d+')
  end
end
return kept`,
  keys: (k) => [k.revoked],
  args: () => [],
  reply: (raw) => {
    const flat = raw as string[];
    return new Map(flat.flatMap((name, i) => (i % 2 === 0 ? [[name, Number(flat[i + 1])]] : [])));
  },
};
