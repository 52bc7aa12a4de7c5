import type { Channel } from '../channel.ts';
import type { Clock } from '../continuity.ts';
import { formatPosition, type Position, parsePosition } from '../id.ts';
import { guarded } from './asked.ts';
import { positions } from './fragments.ts';
import { type Entry, type LastKind, parseClock, parseEntry, parseLast } from './replies.ts';

export interface HistoryArgs {
  channel: Channel;
  /** The epoch of the `after` cursor, '' without one. */
  cursorEpoch: string;
  /** Bounds, both excluded; absent = open. */
  after?: Position;
  before?: Position;
  order: 'asc' | 'desc';
  limit: number;
  /** The page ends with the first message that reaches this many bytes. */
  bytesMax: number;
}

export interface HistoryReply {
  clock: Clock;
  /** In the asked order; messages whose own `ttl` has passed keep their place with an empty `json`. */
  entries: Entry[];
  /** Whether more lies beyond the last entry within the bounds. */
  more: boolean;
  /** The oldest kept message of the channel. */
  oldest: Entry['position'] | undefined;
  oldestEpoch: string;
  /** The channel's newest message, kept or not; undefined when the channel is unknown or was forgotten. */
  last: Position | undefined;
  lastKind: LastKind;
  /** Whether anything at or before `after` is still kept. */
  older: boolean;
}

/**
 * One page of one channel's history, by count and bytes. Without its marker LAST says nothing about any channel: then no
 * cursor is of this history. Read only. Undefined when nothing was ever published here.
 */
export const history = guarded<HistoryArgs, HistoryReply | undefined>({
  name: 'history',
  lua: `
local CLOCK, LAST, STREAM = KEYS[1], KEYS[2], KEYS[3]
${positions}
local state = redis.call('HMGET', CLOCK, 't', 'e', 'b', 'floor', 'f:' .. ARGV[2])
if not state[2] then return {} end
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
local whole = redis.call('HGET', LAST, '!') == state[2]
local header = {state[1], whole and state[2] or '', state[3] or '0-0', state[4] or '0-0', whole and state[5] or '',
  string.format('%.0f', now)}
local low = ARGV[3] == '' and '-' or '(' .. ARGV[3]
local high = ARGV[4] == '' and '+' or '(' .. ARGV[4]
local limit, budget = tonumber(ARGV[6]), tonumber(ARGV[7])
local entries, bytes, more, want = {}, 0, '0', 1
while more == '0' do
  want = math.min(limit + 1 - #entries, want * 2, 64)
  local rows
  if ARGV[5] == 'desc' then
    rows = redis.call('XREVRANGE', STREAM, high, low, 'COUNT', want)
  else
    rows = redis.call('XRANGE', STREAM, low, high, 'COUNT', want)
  end
  for _, row in ipairs(rows) do
    if #entries >= limit or (bytes >= budget and #entries > 0) then
      more = '1'
      break
    end
    local f = row[2]
    local hidden = f[8] and tonumber(f[8]) <= now
    entries[#entries + 1] = {row[1], f[4], f[6], hidden and '' or f[2]}
    bytes = bytes + #f[2]
  end
  if #rows < want then break end
  if ARGV[5] == 'desc' then high = '(' .. rows[#rows][1] else low = '(' .. rows[#rows][1] end
end
local oldest = redis.call('XRANGE', STREAM, '-', '+', 'COUNT', 1)[1]
local older = ARGV[3] ~= '' and #redis.call('XRANGE', STREAM, '-', ARGV[3], 'COUNT', 1) > 0
return {header, entries, more, oldest and oldest[1] or '', oldest and oldest[2][6] or '',
  redis.call('HGET', LAST, ARGV[1]) or '', older and '1' or '0'}`,
  keys: (k, a) => [k.clock, k.last, k.stream(a.channel)],
  args: (_, a) => [
    a.channel,
    a.cursorEpoch,
    a.after ? formatPosition(a.after) : '',
    a.before ? formatPosition(a.before) : '',
    a.order,
    String(a.limit),
    String(a.bytesMax),
  ],
  reply: (raw) => {
    if ((raw as unknown[]).length === 0) return undefined;
    const [header, entries, more, oldest, oldestEpoch, last, older] = raw as [
      string[],
      string[][],
      string,
      string,
      string,
      string,
      string,
    ];
    return {
      clock: parseClock(header),
      entries: entries.map(parseEntry),
      more: more === '1',
      oldest: parsePosition(oldest),
      oldestEpoch,
      ...(last ? parseLast(last) : { last: undefined, lastKind: 'kept' as const }),
      older: older === '1',
    };
  },
});

export interface MessageArgs {
  channel: Channel;
  position: Position;
}

/** One kept message by its place; undefined when it is not, or no longer, in the history. */
export const message = guarded<MessageArgs, Entry | undefined>({
  name: 'message',
  lua: `
local row = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])[1]
if not row then return {} end
local now = redis.call('TIME')
local f = row[2]
local hidden = f[8] and tonumber(f[8]) <= now[1] * 1000 + math.floor(now[2] / 1000)
return {row[1], f[4], f[6], hidden and '' or f[2]}`,
  keys: (k, a) => [k.stream(a.channel)],
  args: (_, a) => [formatPosition(a.position)],
  reply: (raw) => ((raw as string[]).length === 0 ? undefined : parseEntry(raw as string[])),
});

/**
 * Forget what one channel has kept. Its newest place stays known, marked purged, so that a reader who missed something is
 * told, and nobody else is. True when there was anything.
 */
export const purge = guarded<{ channel: Channel }, boolean>({
  name: 'purge',
  lua: `
local removed = redis.call('DEL', KEYS[2])
local last = redis.call('HGET', KEYS[1], ARGV[1])
if removed == 1 and last then redis.call('HSET', KEYS[1], ARGV[1], string.match(last, '^%S+') .. ' p') end
return removed`,
  keys: (k, a) => [k.last, k.stream(a.channel)],
  args: (_, a) => [a.channel],
  reply: (raw) => raw === 1,
});
