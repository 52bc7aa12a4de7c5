import { randomUUID } from 'node:crypto';
import { Refusal } from '../shared/errors.ts';
import { RedisAway } from '../shared/redis.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';

/** The only place that answers an error: counted, logged if it is our fault, and told as problem+json. */
export function problemOf(
  error: unknown,
  { metrics, log }: { metrics: Metrics; log: Log },
): { status: number; headers: Record<string, string>; body: string } {
  const requestId = randomUUID();
  const refusal = refusalOf(error);
  metrics.refused.inc({ code: refusal.code });
  if (refusal.code === 'internal') log.error({ requestId, err: error }, 'a fault of ours');
  return {
    status: refusal.status,
    headers: {
      ...refusal.headers,
      'Content-Type': 'application/problem+json',
      'Cache-Control': 'no-store',
      'Edgewire-Request-Id': requestId,
    },
    body: JSON.stringify(refusal.toProblem(requestId)),
  };
}

function refusalOf(error: unknown): Refusal {
  if (error instanceof Refusal) return error;
  if (error instanceof RedisAway) {
    return new Refusal('redis_unavailable', 'Try again shortly.', { headers: { 'Retry-After': '1' } });
  }
  return new Refusal('internal', 'Try again; if it stays, tell the operator the request id.');
}
