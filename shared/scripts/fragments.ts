/** Lua pieces that the scripts share, composed as text. Each names the locals it needs and the ones it gives. */

/** Positions `<ms>-<seq>`. Doubles hold both halves exactly; `%.0f` keeps Lua from writing 1.7e12. */
export const positions = `
local function split(position)
  local ms, seq = string.match(position, '^(%d+)%-(%d+)')
  return tonumber(ms), tonumber(seq)
end
local function join(ms, seq) return string.format('%.0f-%.0f', ms, seq) end
local function after(a, b)
  local am, as = split(a)
  local bm, bs = split(b)
  return am > bm or (am == bm and as > bs)
end`;

/**
 * Answers a repeated request from its record. Needs RECORD, the record's key or nil, and FINGERPRINT. A record is
 * \`<fingerprint> <answer>\`; another fingerprint means that the Idempotency-Key was used for something else.
 */
export const recorded = `
if RECORD then
  local record = redis.call('GET', RECORD)
  if record then
    local asked, answer = string.match(record, '^(%S+) (.+)$')
    if asked ~= FINGERPRINT then return {'conflict'} end
    return {'again', answer}
  end
end`;

/**
 * Reads the clock and decides the epoch. Needs CLOCK, LAST, SEED. Gives now, tip, epoch, floor, command and \`settled\`, the clock
 * fields to write with the next HSET (empty when nothing changed).
 *
 * A new epoch begins when the clock key is gone, when the marker in LAST is gone (evicted, half restored), or when the
 * server is another one than before (restart, failover): then ids that were given may be unknown here. The old epoch's
 * end is remembered as its fork, except when LAST is gone, because then nothing can be said about any channel.
 * INFO costs 4 us of a 10 us publish, so identity is looked at when 100 ms have passed in either direction.
 */
export const clock = `
local state = redis.call('HMGET', CLOCK, 't', 'e', 'r', 'c', 'floor', 'p')
local marker = redis.call('HGET', LAST, '!')
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local tip, epoch, floor, command = state[1] or '0-0', state[2], state[5] or '0-0', state[6] or 'PUBLISH'
local settled = {}
local broken = not epoch or marker ~= epoch
if broken or not state[4] or math.abs(now - tonumber(state[4])) >= 100 then
  local info = redis.pcall('INFO', 'replication')
  local server = type(info) == 'string' and string.match(info, 'master_replid:(%x+)') or ''
  if broken or state[3] ~= server then
    settled = {'e', SEED, 'b', tip, 'r', server}
    if not broken then settled[7], settled[8] = 'f:' .. epoch, tip end
    epoch = SEED
  end
  settled[#settled + 1], settled[#settled + 2] = 'c', string.format('%.0f', now)
end
local function settle()
  if marker ~= epoch then redis.call('HSET', LAST, '!', epoch) end
  redis.call('HSET', CLOCK, 't', tip, unpack(settled))
end`;

/**
 * Appends one message. Needs positions, clock, INDEX. The fallible write (XADD, refused on WRONGTYPE or OOM) comes first
 * and by pcall, so a refused message leaves nothing. Gives append(message) -> position and envelope, or nil and an error.
 * A stream may be ahead of a clock that was lost: then its newest id gives the next position, once.
 * Sends by sharded pub/sub where the relays listen to that: they say so in the clock, so that publishers need not know.
 * TAG comes from the key, not from an argument: whoever may run a script on one deployment's keys publishes nowhere else.
 * The payload stays opaque: id, timestamp and expiry are spliced in between \`head\` and \`body\`, one JSON line, built once.
 */
export const append = `
redis.call('ZCARD', INDEX)
local function append(m)
  local ms, seq = split(tip)
  if now > ms then ms, seq = now, 0 else seq = seq + 1 end
  local previous = redis.call('HGET', LAST, m.channel)
  previous = previous and string.match(previous, '^%S+') or floor
  local position, line
  for attempt = 1, 2 do
    position = join(ms, seq)
    local expires = m.ttl > 0 and string.format('%.0f', ms + m.ttl) or nil
    line = '{"id":"' .. epoch .. '-' .. position .. '",' .. m.head .. '"timestamp":' .. string.format('%.0f', ms) .. ','
      .. (expires and '"expires":' .. expires .. ',' or '') .. m.body
    if m.length == 0 then break end
    local fields = {'d', line, 'p', previous, 'e', epoch}
    if expires then fields[7], fields[8] = 'x', expires end
    local added = redis.pcall('XADD', m.stream, 'MAXLEN', '~', m.length, position, unpack(fields))
    if not added.err then
      redis.call('PEXPIRE', m.stream, m.keep)
      break
    end
    local info = redis.pcall('XINFO', 'STREAM', m.stream)
    local top
    for i = 1, #info, 2 do
      if info[i] == 'last-generated-id' then top = info[i + 1] end
    end
    if attempt == 2 or not top then return nil, added.err end
    local topMs, topSeq = split(top)
    if topMs < ms or (topMs == ms and topSeq < seq) then return nil, added.err end
    ms, seq = topMs, topSeq + 1
  end
  redis.call('HSET', LAST, m.channel, m.length == 0 and position .. ' n' or position)
  redis.call('ZADD', INDEX, string.format('%.0f', ms), m.channel)
  tip = position
  return position, '1 ' .. position .. ' ' .. previous .. ' ' .. epoch .. ' ' .. m.channel .. '\\n' .. line
end
local TAG = string.match(CLOCK, '^(.*)clock$')
local function send(channel, envelope)
  redis.call(command, TAG .. 'c:' .. channel, envelope)
  redis.call(command, TAG .. 'r:' .. string.match(channel, '^[^:]+'), envelope)
  redis.call(command, TAG .. 'all', envelope)
end`;
