import type { Channel } from '../channel.ts';
import type { Clock } from '../continuity.ts';
import { formatPosition, type Position, parsePosition } from '../id.ts';
import type { Script } from '../redis.ts';
import { positions } from './fragments.ts';

/** One kept message as history holds it. `json` is the whole message, one line; empty when its own `ttl` has passed. */
export interface Entry {
  position: Position;
  previous: Position;
  epoch: string;
  json: string;
}

export interface ReplayArgs {
  channels: readonly Channel[];
  /** The epoch of the client's cursor, whose fork is looked up; '' without one. */
  cursorEpoch: string;
  /** Entries after this place... */
  after: Position;
  /** ...up to this one; absent = the newest position at the time of the run. */
  until?: Position;
  pageBytes: number;
}

export type LastKind = 'kept' | 'not-kept' | 'purged';

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
 * An atomic snapshot of several channels after a cursor, paged by bytes: every channel is cut at the smallest tail that
 * did not fit, so that pages keep the order over all channels. Read only. Undefined when there is no unbroken history to
 * read from (flushed, marker gone): run \`probe\`, which begins an epoch, and ask again.
 */
export const replay: Script<ReplayArgs, Replayed | undefined> = {
  name: 'replay',
  lua: `
local CLOCK, LAST = KEYS[1], KEYS[2]
${positions}
${readClock}
local from, upto, budget = ARGV[2], ARGV[3], tonumber(ARGV[4])
if upto == '' then upto = tip end
local changed, forgotten = {}, {}
for i = 5, #ARGV do
  local last = redis.call('HGET', LAST, ARGV[i])
  if not last then
    if after(header[4], from) then forgotten[#forgotten + 1] = ARGV[i] end
  elseif after(last, from) then
    changed[#changed + 1] = {ARGV[i], last, KEYS[i - 2]}
  end
end
local share = math.max(budget / math.max(#changed, 1), 1)
local cut, pages = upto, {}
for i, channel in ipairs(changed) do
  local rows, bytes, start, want = {}, 0, '(' .. from, math.min(math.max(math.floor(share / 16384), 1), 16)
  while after(upto, from) do
    local chunk = redis.call('XRANGE', channel[3], start, upto, 'COUNT', want)
    for _, row in ipairs(chunk) do
      rows[#rows + 1] = row
      bytes = bytes + #row[2][2] + 64
    end
    if #chunk < want then break end
    local tail = rows[#rows][1]
    if bytes >= share then
      if after(cut, tail) then cut = tail end
      break
    end
    start = '(' .. tail
    want = math.min(math.max(math.ceil((share - bytes) / (bytes / #rows)), 1), 512)
  end
  pages[i] = rows
end
local out = {}
for i, channel in ipairs(changed) do
  local entries = {}
  for _, row in ipairs(pages[i]) do
    if after(row[1], cut) then break end
    local f = row[2]
    local hidden = f[8] and tonumber(f[8]) <= now
    entries[#entries + 1] = {row[1], f[4], f[6], hidden and '' or f[2]}
  end
  local first = entries[1]
  local older = '0'
  if not first or after(first[2], from) then
    older = #redis.call('XRANGE', channel[3], '-', from, 'COUNT', 1) > 0 and '1' or '0'
  end
  local beyond = cut == upto and after(channel[2], upto) and redis.call('XRANGE', channel[3], '(' .. upto, '+', 'COUNT', 1)[1]
  out[i] = {channel[1], channel[2], older, entries, beyond and beyond[2][4] or ''}
end
return {header, cut, upto, out, forgotten}`,
  keys: (k, a) => [k.clock, k.last, ...a.channels.map((channel) => k.stream(channel))],
  args: (_, a) => [
    a.cursorEpoch,
    formatPosition(a.after),
    a.until ? formatPosition(a.until) : '',
    String(a.pageBytes),
    ...a.channels,
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

export interface ChangesArgs {
  cursorEpoch: string;
  after: Position;
  /** At most so many names come back, plus one when there are more. */
  namesMax: number;
}

/**
 * Which channels changed at or after a cursor's millisecond, and the snapshot position that belongs to that answer: the
 * first of the two calls by which patterns are replayed. Replay then stops at `clock.tip`. Undefined as for `replay`.
 */
export const changes: Script<ChangesArgs, { clock: Clock; channels: Channel[] } | undefined> = {
  name: 'changes',
  lua: `
local CLOCK, LAST, INDEX = KEYS[1], KEYS[2], KEYS[3]
${readClock}
return {header, redis.call('ZRANGEBYSCORE', INDEX, ARGV[2], '+inf', 'LIMIT', 0, ARGV[3])}`,
  keys: (k) => [k.clock, k.last, k.index],
  args: (_, a) => [a.cursorEpoch, String(a.after.ms), String(a.namesMax + 1)],
  reply: (raw) => {
    if ((raw as unknown[]).length === 0) return undefined;
    const [header, names] = raw as [string[], string[]];
    return { clock: parseClock(header), channels: names as Channel[] };
  },
};

export interface RecentArgs {
  channels: readonly Channel[];
  /** The newest so many of each channel. */
  count: number;
}

/**
 * For each channel the place of its `count`-th newest kept message (or of its oldest, if it has fewer): where a `rewind`
 * begins. Undefined for a channel that keeps none. Read only.
 */
export const recent: Script<RecentArgs, (Position | undefined)[]> = {
  name: 'recent',
  lua: `
local out = {}
for i = 1, #KEYS do
  local rows = redis.call('XREVRANGE', KEYS[i], '+', '-', 'COUNT', ARGV[1])
  out[i] = #rows > 0 and rows[#rows][1] or ''
end
return out`,
  keys: (k, a) => a.channels.map((channel) => k.stream(channel)),
  args: (_, a) => [String(a.count)],
  reply: (raw) => (raw as string[]).map(parsePosition),
};

/** A field of the hash `last`: a place, and what became of the message there. */
export function parseLast(field: string): { last: Position; lastKind: LastKind } {
  const [position, kind] = field.split(' ');
  return { last: parsePosition(position!)!, lastKind: kind === 'n' ? 'not-kept' : kind === 'p' ? 'purged' : 'kept' };
}

export function parseClock([tip, epoch, begin, floor, fork, now]: string[]): Clock {
  return {
    tip: parsePosition(tip!)!,
    epoch: epoch!,
    begin: parsePosition(begin!)!,
    floor: parsePosition(floor!)!,
    fork: fork ? parsePosition(fork) : undefined,
    nowMs: Number(now),
  };
}

export function parseEntry([position, previous, epoch, json]: string[]): Entry {
  return { position: parsePosition(position!)!, previous: parsePosition(previous!)!, epoch: epoch!, json: json! };
}
