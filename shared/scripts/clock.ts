import type { Channel } from '../channel.ts';
import type { Clock } from '../continuity.ts';
import type { Script } from '../redis.ts';
import { clock, positions } from './fragments.ts';
import type { Seed } from './publish.ts';
import { parseClock } from './replies.ts';

export interface ProbeArgs {
  seed: Seed;
  /** The relay that wants to hear of it on its own name; absent = nobody. */
  relayId?: string;
}

/**
 * The clock as it is, begun if there is none, and sent down the publish path: what arrives at the relay proves, at once,
 * that the path works, which epoch holds, and up to where the relay has heard everything (the watermark).
 * Arrives as `2 <ms>-<seq> <epoch>`.
 */
export const probe: Script<ProbeArgs, Clock> = {
  name: 'probe',
  lua: `
local CLOCK, LAST = KEYS[1], KEYS[2]
local SEED = ARGV[1]
${positions}
${clock}
if #settled > 0 then settle() end
if ARGV[2] ~= '' then redis.call('PUBLISH', ARGV[2], '2 ' .. tip .. ' ' .. epoch) end
return {tip, epoch, redis.call('HGET', CLOCK, 'b') or '0-0', floor, '', string.format('%.0f', now)}`,
  keys: (k) => [k.clock, k.last],
  args: (k, a) => [a.seed, a.relayId ? k.relayName(a.relayId) : ''],
  reply: (raw) => parseClock(raw as string[]),
};

export interface ForgetArgs {
  /** Channels whose newest message is older than this, ms of Redis's clock... */
  beforeMs: number;
  /** ...at most so many in one run. */
  channelsMax: number;
}

/**
 * Drops what is known of long-quiet channels. The floor is raised first to the newest place that is dropped: a cursor
 * below it may have missed something there, and is told. Answers the names that were dropped.
 */
export const forget: Script<ForgetArgs, Channel[]> = {
  name: 'forget',
  lua: `
local CLOCK, LAST, INDEX = KEYS[1], KEYS[2], KEYS[3]
${positions}
local names = redis.call('ZRANGEBYSCORE', INDEX, '-inf', '(' .. ARGV[1], 'LIMIT', 0, ARGV[2])
if #names == 0 then return names end
local floor = redis.call('HGET', CLOCK, 'floor') or '0-0'
for _, name in ipairs(names) do
  local last = redis.call('HGET', LAST, name)
  last = last and string.match(last, '^%S+')
  if last and after(last, floor) then floor = last end
end
redis.call('HSET', CLOCK, 'floor', floor)
for i = 1, #names, 1000 do -- Lua unpacks at most some 8,000
  local j = math.min(i + 999, #names)
  redis.call('HDEL', LAST, unpack(names, i, j))
  redis.call('ZREM', INDEX, unpack(names, i, j))
end
return names`,
  keys: (k) => [k.clock, k.last, k.index],
  args: (_, a) => [String(a.beforeMs), String(a.channelsMax)],
  reply: (raw) => raw as Channel[],
};
