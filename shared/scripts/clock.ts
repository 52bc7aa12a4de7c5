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
local CLOCK, LAST, INDEX = KEYS[1], KEYS[2], KEYS[3]
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
-- The index has every channel of LAST but the marker, or it was evicted: then it is made again from there.
local listed = redis.pcall('ZCARD', INDEX)
if type(listed) == 'number' and listed ~= redis.call('HLEN', LAST) - 1 then
  redis.call('DEL', INDEX)
  local lasts = redis.call('HGETALL', LAST)
  for i = 1, #lasts, 2 do
    if lasts[i] ~= '!' then redis.pcall('ZADD', INDEX, string.match(lasts[i + 1], '^%d+'), lasts[i]) end
  end
end
if ARGV[2] ~= '' then redis.call(listens, string.match(CLOCK, '^(.*)clock$') .. 'x:' .. ARGV[2], '2 ' .. tip .. ' ' .. epoch) end
return {tip, epoch, redis.call('HGET', CLOCK, 'b') or '0-0', floor, '', string.format('%.0f', now)}`,
  keys: (k) => [k.clock, k.last, k.index],
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
 * Read only. Undefined when there is no unbroken history, or when the index does not list every channel.
 */
export const audit: Script<AuditArgs, { channel: Channel; last: Position }[] | undefined> = {
  name: 'audit',
  lua: `
local epoch = redis.call('HGET', KEYS[1], 'e')
if not epoch or redis.call('HGET', KEYS[2], '!') ~= epoch then return {} end
if redis.call('ZCARD', KEYS[3]) ~= redis.call('HLEN', KEYS[2]) - 1 then return {} end -- evicted: see probe
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
  /** Who asks; one at a time, so that many relays do not all do the same work. */
  holder: string;
  /** How long nobody else may after each run. */
  leaseMs: number;
  /** Channels whose newest message is older than this by Redis's clock, ... */
  quietMs: number;
  /** ...at most so many in one run. */
  channelsMax: number;
  /** The ends of earlier epochs that stay known, the newest so many. */
  forksMax: number;
}

/**
 * Drops what is known of long-quiet channels. The floor is raised first to the newest place that is dropped: a cursor
 * below it may have missed something there, and is told. Of too many forks the oldest go: a cursor of their epochs is then
 * told that its history is unknown. Answers the names that were dropped; undefined while somebody else holds the lease.
 */
export const forget: Script<ForgetArgs, Channel[] | undefined> = {
  name: 'forget',
  lua: `
local CLOCK, LAST, INDEX, LEASE = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local HOLDER, LEASE_MS, QUIET_MS, CHANNELS_MAX, FORKS_MAX = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])
${positions}
if not redis.call('SET', LEASE, HOLDER, 'NX', 'PX', LEASE_MS) then
  if redis.call('GET', LEASE) ~= HOLDER then return 0 end
  redis.call('PEXPIRE', LEASE, LEASE_MS)
end
if redis.call('HLEN', CLOCK) > FORKS_MAX then -- it has a few other fields, so this may look in vain, never too late by much
  local fields, forks = redis.call('HGETALL', CLOCK), {}
  for i = 1, #fields, 2 do
    if string.sub(fields[i], 1, 2) == 'f:' then forks[#forks + 1] = {fields[i], fields[i + 1]} end
  end
  table.sort(forks, function(a, b) return after(a[2], b[2]) end)
  for i = FORKS_MAX + 1, #forks do redis.call('HDEL', CLOCK, forks[i][1]) end
end
local time = redis.call('TIME')
local before = string.format('(%.0f', time[1] * 1000 + math.floor(time[2] / 1000) - QUIET_MS)
local names = redis.call('ZRANGEBYSCORE', INDEX, '-inf', before, 'LIMIT', 0, CHANNELS_MAX)
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
  keys: (k) => [k.clock, k.last, k.index, k.lease],
  args: (_, a) => [a.holder, ...[a.leaseMs, a.quietMs, a.channelsMax, a.forksMax].map(String)],
  reply: (raw) => (raw === 0 ? undefined : (raw as Channel[])),
};
