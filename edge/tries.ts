import { RedisAway } from '../shared/redis.ts';
import type { Outgoing } from '../shared/scripts/publish.ts';
import type { Edge } from './context.ts';
import { type HandedOn, handOn } from './degraded.ts';

const triesMax = 3;
/** No try begins later than this after the first: with its own time the caller waits 3.5 s at most. */
const beginMsMax = 2_000;
/** Between the first two tries, about, and twice as long before the third: a relay that restarts has a neighbour by then. */
const pauseMs = 100;

/**
 * Runs again what got no answer, since whether it was carried out is not known. So `run` must send the same idempotency
 * identity each time. An answer of any kind ends it. When tries or time are out the messages are handed to relays, if the
 * deployment has it so. Throws the last RedisAway when no relay took them either.
 */
export async function tried<Reply>(
  edge: Edge,
  messages: readonly Outgoing[],
  run: () => Promise<Reply>,
): Promise<Reply | HandedOn> {
  const begunMs = edge.nowMs();
  for (let tries = 1; ; tries++) {
    try {
      return await run();
    } catch (error) {
      if (!(error instanceof RedisAway)) throw error;
      if (tries === triesMax || edge.nowMs() - begunMs > beginMsMax) return handOn(edge, messages, error);
      await edge.pause(pauseMs * tries);
    }
  }
}
