import type { Channel } from '../channel.ts';
import { type RefusedKind, refusedKind } from '../redis.ts';
import { type Asked, guarded, limiter, limiterArgs, limiterKeys } from './asked.ts';
import { append, clock, positions, recorded } from './fragments.ts';
import type { Idempotency, Outgoing, Seed } from './publish.ts';

export interface BatchArgs extends Asked {
  /** `index` is the item's place in the caller's request; refused items never come here, so places may be missing. */
  items: (Outgoing & { index: number })[];
  seed: Seed;
  idempotency?: Idempotency;
}

export type BatchResult = { index: number } & ({ id: string; stored: boolean } | { refused: RefusedKind });
export type BatchReply =
  | { status: 'new' | 'again'; results: BatchResult[]; usedMicros?: number }
  | { status: 'conflict' };

const FIELDS_PER_ITEM = 8;

/**
 * Publish up to 1,000 messages in one round trip and one order. Not all-or-nothing: each item is tried and answered
 * by itself. One Idempotency-Key covers the whole; its record holds all answers, failures included, once any item
 * was published. The rate alone holds for the whole: when too little of it is left for all items, none is published, so that
 * the caller may repeat the request as it is. Only what is published counts. PUBLISH comes after the record, so that a
 * reader never sees a message a retry would publish again.
 * Where another server leads (READONLY) it is no item's fault: nothing was written, and the whole is answered so.
 */
export const batch = guarded<BatchArgs, BatchReply>({
  name: 'batch',
  lua: `
local CLOCK, LAST, INDEX = KEYS[1], KEYS[2], KEYS[3]
local SEED, FINGERPRINT, RECORD_MS = ARGV[1], ARGV[2], ARGV[3]
local EVERY, WINDOW = tonumber(ARGV[4]), tonumber(ARGV[5])
local RECORD = FINGERPRINT ~= '' and table.remove(KEYS) or nil
${recorded}
${positions}
${clock}
${limiter}
local refusal = limited((#ARGV - 5) / ${FIELDS_PER_ITEM})
if refusal then return refusal end
${append}
local answers, sent = {}, {}
for i = 6, #ARGV, ${FIELDS_PER_ITEM} do
  local message = {stream = KEYS[tonumber(ARGV[i + 1])], channel = ARGV[i + 2], head = ARGV[i + 3], body = ARGV[i + 4],
    length = tonumber(ARGV[i + 5]), keep = ARGV[i + 6], ttl = tonumber(ARGV[i + 7])}
  local ok, position, envelope = pcall(append, message)
  if ok and position then
    sent[#sent + 1] = {message.channel, envelope}
    answers[#answers + 1] = ARGV[i] .. ' ' .. epoch .. '-' .. position .. ' ' .. (message.length == 0 and '0' or '1')
  else
    local reason = envelope or position.err or position
    if reason:find('READONLY') then return {err = reason} end
    answers[#answers + 1] = ARGV[i] .. ' ! ' .. reason
  end
end
local answer = table.concat(answers, '\\n')
if #sent > 0 then
  settle()
  if RECORD then redis.call('SET', RECORD, FINGERPRINT .. ' ' .. answer, 'PX', RECORD_MS) end
  spend(#sent)
  for _, message in ipairs(sent) do send(message[1], message[2]) end
end
return {'new', answer, allowance()}`,
  keys: (k, a) => [
    k.clock,
    k.last,
    k.index,
    ...channelsOf(a).map((channel) => k.stream(channel)),
    ...limiterKeys(k, a),
    ...(a.idempotency ? [k.idempotency(a.idempotency.digest)] : []),
  ],
  args: (_, a) => {
    const place = new Map(channelsOf(a).map((channel, i) => [channel, String(i + 4)]));
    const args = [a.seed, a.idempotency?.fingerprint ?? '', String(a.idempotency?.keepMs ?? 0), ...limiterArgs(a)];
    for (const m of a.items) {
      args.push(String(m.index), place.get(m.channel)!, m.channel, m.head, m.body);
      args.push(String(m.length), String(m.keepMs), String(m.ttlMs));
    }
    return args;
  },
  reply: (raw) => {
    const [status, answer, used] = raw as ['new' | 'again' | 'conflict', string, string?];
    if (status === 'conflict') return { status };
    return { status, results: answer.split('\n').map(parseResult), ...(used && { usedMicros: Number(used) }) };
  },
});

function channelsOf(a: BatchArgs): Channel[] {
  return [...new Set(a.items.map((m) => m.channel))];
}

function parseResult(line: string): BatchResult {
  const [index, id, ...rest] = line.split(' ');
  if (id === '!') return { index: Number(index), refused: refusedKind(rest.join(' ')) };
  return { index: Number(index), id: id!, stored: rest[0] === '1' };
}
