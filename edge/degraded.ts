import type { RedisAway } from '../shared/redis.ts';
import type { Outgoing } from '../shared/scripts/publish.ts';
import type { Edge } from './context.ts';

/** All relays are asked at once, and none is waited for longer. */
const waitMsMax = 1_000;

/** What is said of a message that was handed on. The time is the edge's. */
export interface HandedOn {
  timestamp: number;
  stored: false;
  degraded: true;
}

/**
 * Has relays deliver what Redis did not take to whoever reads there now: without an id, so that it is in no history and
 * moves no cursor. Throws `away` unless a relay took them.
 */
export async function handOn(edge: Edge, messages: readonly Outgoing[], away: RedisAway): Promise<HandedOn> {
  const { urls, token } = edge.degraded;
  const timestamp = edge.nowMs();
  const lines = messages.map(({ head, body, ttlMs }) => {
    const expires = ttlMs > 0 ? `"expires":${timestamp + ttlMs},` : '';
    return `{"degraded":true,${head}"timestamp":${timestamp},${expires}${body}\n`;
  });
  const request = { method: 'POST', headers: { Authorization: `Bearer ${token}` }, body: lines.join('') };
  const took = async (url: string) => {
    const answer = await fetch(`${url}/degraded`, { ...request, signal: AbortSignal.timeout(waitMsMax) });
    if (!answer.ok) throw away;
  };
  const answers = await Promise.allSettled(urls.map(took)); // not the first alone: the others have readers too
  if (!answers.some(({ status }) => status === 'fulfilled')) throw away;
  return { timestamp, stored: false, degraded: true };
}
