import type { Channel } from '../channel.ts';
import type { Clock } from '../continuity.ts';
import { type Position, parsePosition } from '../id.ts';
import type { Script } from '../redis.ts';
import { clock, positions } from './fragments.ts';
import type { Seed } from './publish.ts';
import { parseClock } from './replies.ts';

export interface ProbeArgs {
  seed: Seed;
  /** The relay that wants to hear of it on its own name; absent = nobody. */
  relayId?: string;
  /** Whether that relay listens by sharded pub/sub: publishers follow it from then on. Absent = not said. */
  sharded?: boolean;
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
local listens = ARGV[3] == '' and command or ARGV[3] == '1' and 'SPUBLISH' or 'PUBLISH'
if listens == 'SPUBLISH' and command ~= listens then
  settled[#settled + 1], settled[#settled + 2] = 'p', listens
elseif command ~= listens then
  redis.call('HDEL', CLOCK, 'p')
end
if broken or #settled > 2 then
  settle()
elseif #settled > 0 then
  -- When the server was last looked at need not be kept where Redis is full: the next run looks again.
  local kept = redis.pcall('HSET', CLOCK, unpack(settled))
  if type(kept) == 'table' and not string.find(kept.err, 'OOM', 1, true) then return kept end
end
if ARGV[2] ~= '' then redis.call(listens, string.match(CLOCK, '^(.*)clock$') .. 'x:' .. ARGV[2], '2 ' .. tip .. ' ' .. epoch) end
return {tip, epoch, redis.call('HGET', CLOCK, 'b') or '0-0', floor, '', string.format('%.0f', now)}`,
  keys: (k) => [k.clock, k.last],
  args: (_, a) => [a.seed, a.relayId ?? '', a.sharded === undefined ? '' : a.sharded ? '1' : '0'],
  reply: (raw) => parseClock(raw as string[]),
};

export interface AuditArgs {
  after: Position;
  /** At most so many come back, plus one when there are more. */
  namesMax: number;
}

/**
 * Which channels changed at or after a place's millisecond, and each one's newest message: what a relay should have heard.
 * Read only. Undefined when there is no unbroken history.
 */
export const audit: Script<AuditArgs, { channel: Channel; last: Position }[] | undefined> = {
  name: 'audit',
  lua: `
local epoch = redis.call('HGET', KEYS[1], 'e')
if not epoch or redis.call('HGET', KEYS[2], '!') ~= epoch then return {} end
local names = redis.call('ZRANGEBYSCORE', KEYS[3], ARGV[1], '+inf', 'LIMIT', 0, ARGV[2])
local out = {names}
if #names > 0 then
  local lasts = {}
  for i, name in ipairs(names) do lasts[i] = redis.call('HGET', KEYS[2], name) or '' end
  out[2] = lasts
end
return out`,
  keys: (k) => [k.clock, k.last, k.index],
  args: (_, a) => [String(a.after.ms), String(a.namesMax + 1)],
  reply: (raw) => {
    const [names, lasts] = raw as [string[]?, string[]?];
    return names?.flatMap((channel, i) => {
      const last = parsePosition(lasts![i]!.split(' ')[0]!);
      return last ? [{ channel: channel as Channel, last }] : [];
    });
  },
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
