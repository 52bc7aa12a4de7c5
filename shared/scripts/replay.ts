import type { Channel } from '../channel.ts';
import type { Clock } from '../continuity.ts';
import { comparePositions, formatPosition, type Position, parsePosition } from '../id.ts';
import type { Script } from '../redis.ts';
import { positions } from './fragments.ts';
import { type Entry, type LastKind, parseClock, parseEntry, parseLast } from './replies.ts';

export interface ReplayArgs {
  channels: readonly Channel[];
  /** The epoch of the client's cursor, whose fork is looked up; '' without one. */
  cursorEpoch: string;
  /** Entries after this place... */
  after: Position;
  /** ...and per channel, in the same order, after a place of its own; absent = none has one. */
  starts?: readonly (Position | undefined)[];
  /** ...up to this one; absent = the newest position at the time of the run. */
  until?: Position;
  pageBytes: number;
}

/** What one channel has in a page. */
export interface ReplayedChannel {
  channel: Channel;
  /** Its newest message, and whether that was kept, not kept, or purged. */
  last: Position;
  lastKind: LastKind;
  /** Whether anything at or before `after` is still kept, so nothing after it was trimmed. */
  older: boolean;
  entries: Entry[];
  /** In the last page, what the first entry beyond `until` links to: it proves the end of this channel's replay. */
  link: Position | undefined;
}

export interface Replayed {
  clock: Clock;
  /** The page is complete up to here; when this is `until`, all of it is. */
  upto: Position;
  until: Position;
  /** Only channels whose newest message lies after `after`. */
  channels: ReplayedChannel[];
  /** Asked channels of which nothing is known although `after` lies below the floor: something may be missing there. */
  forgotten: Channel[];
}

const readClock = `
local state = redis.call('HMGET', CLOCK, 't', 'e', 'b', 'floor', 'f:' .. ARGV[1])
local tip, epoch = state[1], state[2]
if not epoch or redis.call('HGET', LAST, '!') ~= epoch then return {} end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local header = {tip, epoch, state[3] or '0-0', state[4] or '0-0', state[5] or '', string.format('%.0f', now)}`;

/**
 * An atomic snapshot of several channels after a cursor, paged by bytes. All channels are read up to one common cut, so
 * that pages keep the order over all of them; whenever more than a page has been found, the cut moves down to where half a
 * page is left. So one busy channel among a thousand quiet ones still fills its pages. Read only. Undefined when there is
 * no unbroken history to read from (flushed, marker gone): run `probe`, which begins an epoch, and ask again.
 */
export const replay: Script<ReplayArgs, Replayed | undefined> = {
  name: 'replay',
  lua: `
local CLOCK, LAST = KEYS[1], KEYS[2]
${positions}
${readClock}
local from, upto, budget, count = ARGV[2], ARGV[3], tonumber(ARGV[4]), #KEYS - 2
if upto == '' then upto = tip end
local changed, forgotten = {}, {}
for i = 5, 4 + count do
  local last = redis.call('HGET', LAST, ARGV[i])
  if not last then
    if after(header[4], from) then forgotten[#forgotten + 1] = ARGV[i] end
  elseif after(last, from) then
    local own = ARGV[i + count]
    changed[#changed + 1] = {ARGV[i], last, KEYS[i - 2], own and own ~= '' and after(own, from) and own or from}
  end
end
local rows, bytes, cut = {}, 0, upto
local function shrink()
  table.sort(rows, function(a, b) return a.ms < b.ms or (a.ms == b.ms and a.seq < b.seq) end)
  local keep = 0
  bytes = 0
  repeat
    keep = keep + 1
    bytes = bytes + rows[keep].bytes
  until bytes >= budget / 2 or keep == #rows
  cut = rows[keep].fields[1]
  for i = #rows, keep + 1, -1 do rows[i] = nil end
end
for i, channel in ipairs(changed) do
  -- Two, four, eight...: messages may be a hundred bytes or a quarter of a MiB, and a chunk is read whole.
  local start, want, chunk = '(' .. channel[4], 1
  repeat
    want = math.min(want * 2, 64)
    chunk = after(cut, channel[4]) and redis.call('XRANGE', channel[3], start, cut, 'COUNT', want) or {}
    for _, fields in ipairs(chunk) do
      local ms, seq = split(fields[1])
      local size = #fields[2][2] + 64
      rows[#rows + 1] = {ms = ms, seq = seq, bytes = size, of = i, fields = fields}
      bytes = bytes + size
    end
    if #chunk > 0 then start = '(' .. chunk[#chunk][1] end
    if bytes > budget then shrink() end
  until #chunk < want
end
local entries = {}
for i in ipairs(changed) do entries[i] = {} end
for _, row in ipairs(rows) do
  local f, of = row.fields[2], entries[row.of]
  local hidden = f[8] and tonumber(f[8]) <= now
  of[#of + 1] = {row.fields[1], f[4], f[6], hidden and '' or f[2]}
end
local out = {}
for i, channel in ipairs(changed) do
  local first = entries[i][1]
  local older = '0'
  if (first and after(first[2], from)) or (not first and (cut == upto or not after(channel[2], cut))) then -- a hole: what is it?
    older = #redis.call('XRANGE', channel[3], '-', from, 'COUNT', 1) > 0 and '1' or '0'
  end
  local beyond = cut == upto and after(channel[2], upto) and redis.call('XRANGE', channel[3], '(' .. upto, '+', 'COUNT', 1)[1]
  out[i] = {channel[1], channel[2], older, entries[i], beyond and beyond[2][4] or ''}
end
return {header, cut, upto, out, forgotten}`,
  keys: (k, a) => [k.clock, k.last, ...a.channels.map((channel) => k.stream(channel))],
  args: (_, a) => [
    a.cursorEpoch,
    formatPosition(a.after),
    a.until ? formatPosition(a.until) : '',
    String(a.pageBytes),
    ...a.channels,
    ...(a.starts ?? []).map((start) => (start ? formatPosition(start) : '')),
  ],
  reply: (raw) => {
    if ((raw as unknown[]).length === 0) return undefined;
    const [header, upto, until, channels, forgotten] = raw as [
      string[],
      string,
      string,
      [string, string, string, string[][], string][],
      string[],
    ];
    return {
      clock: parseClock(header),
      upto: parsePosition(upto)!,
      until: parsePosition(until)!,
      channels: channels.map(([channel, last, older, entries, link]) => ({
        channel: channel as Channel,
        ...parseLast(last),
        older: older === '1',
        entries: entries.map(parseEntry),
        link: parsePosition(link),
      })),
      forgotten: forgotten as Channel[],
    };
  },
};

/**
 * The newest place of a channel that its page must have reached: its newest message, or what the first one beyond the last
 * page links to. Undefined while that is not known.
 */
export function endOf({ last, link }: ReplayedChannel, { upto, until }: Replayed): Position | undefined {
  if (comparePositions(last, upto) <= 0) return last;
  return comparePositions(upto, until) === 0 ? link : undefined;
}

export interface ChangesArgs {
  cursorEpoch: string;
  after: Position;
  /** Only names that begin with one of these; each the literal start of a pattern. */
  prefixes: readonly string[];
  /** At most so many names are looked at. */
  namesMax: number;
}

/**
 * Which channels changed at or after a cursor's millisecond, and the snapshot position that belongs to that answer: the
 * first of the two calls by which patterns are replayed. Replay then stops at `clock.tip`. `capped`: more
 * changed than were looked at. Undefined as for `replay`, and when the index does not list every channel.
 */
export const changes: Script<ChangesArgs, { clock: Clock; channels: Channel[]; capped: boolean } | undefined> = {
  name: 'changes',
  lua: `
local CLOCK, LAST, INDEX = KEYS[1], KEYS[2], KEYS[3]
${readClock}
local most = tonumber(ARGV[3])
if most == 0 then return {header, {}, 0} end
if redis.call('ZCARD', INDEX) ~= redis.call('HLEN', LAST) - 1 then return {} end -- evicted: see probe
local names = redis.call('ZRANGEBYSCORE', INDEX, ARGV[2], '+inf', 'LIMIT', 0, most + 1)
local matching = {}
for i = 1, math.min(#names, most) do
  for p = 4, #ARGV do
    if string.sub(names[i], 1, #ARGV[p]) == ARGV[p] then
      matching[#matching + 1] = names[i]
      break
    end
  end
end
return {header, matching, #names > most and 1 or 0}`,
  keys: (k) => [k.clock, k.last, k.index],
  args: (_, a) => [a.cursorEpoch, String(a.after.ms), String(a.namesMax), ...a.prefixes],
  reply: (raw) => {
    if ((raw as unknown[]).length === 0) return undefined;
    const [header, names, capped] = raw as [string[], string[], number];
    return { clock: parseClock(header), channels: names as Channel[], capped: capped === 1 };
  },
};

export interface RecentArgs {
  channels: readonly Channel[];
  /** The newest so many of each channel, */
  count: number;
  /** but no more than so many bytes of it. */
  bytesMax: number;
}

/**
 * For each channel the place of its `count`-th newest kept message, or of its oldest if it has fewer, or of the one with
 * which `bytesMax` is reached: where a `rewind` begins. Undefined for a channel that keeps none. Read only.
 */
export const recent: Script<RecentArgs, (Position | undefined)[]> = {
  name: 'recent',
  lua: `
local out = {}
for i = 1, #KEYS do
  local start, left, bytes, want, rows = '+', tonumber(ARGV[1]), tonumber(ARGV[2]), 1
  out[i] = ''
  repeat
    want = math.min(want * 2, 64, left)
    rows = redis.call('XREVRANGE', KEYS[i], start, '-', 'COUNT', want)
    for _, row in ipairs(rows) do
      if bytes > 0 then out[i] = row[1] end
      bytes = bytes - #row[2][2]
    end
    left = left - #rows
    if #rows > 0 then start = '(' .. rows[#rows][1] end
  until #rows < want or left == 0 or bytes <= 0
end
return out`,
  keys: (k, a) => a.channels.map((channel) => k.stream(channel)),
  args: (_, a) => [String(a.count), String(a.bytesMax)],
  reply: (raw) => (raw as string[]).map(parsePosition),
};
