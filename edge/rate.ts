import { sha256Hex } from '../shared/apikey.ts';
import { Refusal } from '../shared/errors.ts';
import { allowance, type Rate, waitS } from '../shared/rate.ts';
import { RedisRefused } from '../shared/redis.ts';
import type { Asked } from '../shared/scripts/asked.ts';
import type { EdgeContext } from './context.ts';

/**
 * Publishes `count` messages within the caller's rate, which the script itself looks at. What is left is told in headers
 * (https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/). Keys of one principal with the same rate share
 * it, so that a rotation doubles nothing. Throws rate_limited.
 */
export async function withinRate<Reply extends object>(
  c: EdgeContext,
  count: number,
  run: (asked: Asked) => Promise<Reply>,
): Promise<Reply> {
  const { kind, principal, rate, revocable: by } = c.get('grant');
  if (!rate) return run({ by });
  const digest = await sha256Hex(`${kind}:${principal}\n${rate.messages}/${rate.perMs}`);
  try {
    const reply = await run({ by, limit: { digest, rate } });
    if ('usedMicros' in reply) {
      for (const [name, value] of Object.entries(headersOf(rate, Number(reply.usedMicros)))) c.header(name, value);
    }
    return reply;
  } catch (error) {
    if (!(error instanceof RedisRefused) || error.kind !== 'limited') throw error;
    const usedMicros = Number(error.message.split(' ')[1]);
    const seconds = waitS(rate, usedMicros, count);
    throw new Refusal(
      'rate_limited',
      seconds ? 'Repeat it after Retry-After.' : `Send at most ${rate.messages} in one batch.`,
      { headers: { ...headersOf(rate, usedMicros), ...(seconds && { 'Retry-After': String(seconds) }) } },
    );
  }
}

function headersOf(rate: Rate, usedMicros: number): Record<string, string> {
  const { remaining, fullS } = allowance(rate, usedMicros);
  return {
    'RateLimit-Policy': `"default";q=${rate.messages};w=${rate.perMs / 1000}`,
    RateLimit: `"default";r=${remaining};t=${fullS}`,
  };
}
