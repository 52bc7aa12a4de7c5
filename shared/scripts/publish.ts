import type { Channel } from '../channel.ts';
import { type Asked, guarded, limiter, limiterArgs, limiterKeys } from './asked.ts';
import { append, clock, positions, recorded } from './fragments.ts';

/** One message as the scripts take it; `shared/message.ts` makes `head` and `body`. */
export interface Outgoing {
  channel: Channel;
  /** JSON text before and after `"timestamp"`: `"channel":...,"type":...,` and `"data":...}`. */
  head: string;
  body: string;
  /** Messages kept, about; 0 = sent, not kept. */
  length: number;
  /** The channel's history lives this long after its last message, ms. */
  keepMs: number;
  /** This message is hidden from replay and history after so many ms; 0 = never. */
  ttlMs: number;
}

/** What makes a retry recognisable: who and which key (hashed), and what was asked (hashed). */
export interface Idempotency {
  digest: string;
  fingerprint: string;
  /** How long the answer is remembered. */
  keepMs: number;
}

/** Every 51-bit value but a few of these is ever used: one per epoch. `[a-z0-9]{10}`, drawn anew for each call. */
export type Seed = string;

export interface PublishArgs extends Outgoing, Asked {
  seed: Seed;
  idempotency?: Idempotency;
}

/** `usedMicros` of the rate's window: for `new` and with a limit only. */
export type PublishReply =
  | { status: 'new' | 'again'; id: string; stored: boolean; usedMicros?: number }
  | { status: 'conflict' };

/**
 * Publish one message: given its id, kept, remembered for its key, and handed to pub/sub, in one step.
 * `again`: the same principal and key asked the same before; the first answer. `conflict`: it asked something else.
 * Neither of these two counts against the rate. Throws RedisRefused (revoked, limited, wrongtype, oom) with nothing changed.
 */
export const publish = guarded<PublishArgs, PublishReply>({
  name: 'publish',
  lua: `
local CLOCK, LAST, INDEX, STREAM = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local SEED, FINGERPRINT, RECORD_MS = ARGV[1], ARGV[2], ARGV[3]
local RECORD = FINGERPRINT ~= '' and KEYS[5] or nil
local EVERY, WINDOW = tonumber(ARGV[10]), tonumber(ARGV[11])
local message = {stream = STREAM, channel = ARGV[4], head = ARGV[5], body = ARGV[6],
  length = tonumber(ARGV[7]), keep = ARGV[8], ttl = tonumber(ARGV[9])}
${recorded}
${positions}
${clock}
${limiter}
local refusal = limited(1)
if refusal then return refusal end
${append}
local position, envelope = append(message)
if not position then return redis.error_reply(envelope) end
settle()
local answer = epoch .. '-' .. position .. ' ' .. (message.length == 0 and '0' or '1')
if RECORD then redis.call('SET', RECORD, FINGERPRINT .. ' ' .. answer, 'PX', RECORD_MS) end
spend(1)
send(message.channel, envelope)
return {'new', answer, allowance()}`,
  keys: (k, a) => [
    k.clock,
    k.last,
    k.index,
    k.stream(a.channel),
    ...(a.idempotency ? [k.idempotency(a.idempotency.digest)] : []),
    ...limiterKeys(k, a),
  ],
  args: (_, a) => [
    a.seed,
    a.idempotency?.fingerprint ?? '',
    String(a.idempotency?.keepMs ?? 0),
    a.channel,
    a.head,
    a.body,
    String(a.length),
    String(a.keepMs),
    String(a.ttlMs),
    ...limiterArgs(a),
  ],
  reply: (raw) => {
    const [status, answer, used] = raw as ['new' | 'again' | 'conflict', string, string?];
    if (status === 'conflict') return { status };
    const [id, stored] = answer.split(' ') as [string, string];
    return { status, id, stored: stored === '1', ...(used && { usedMicros: Number(used) }) };
  },
});
