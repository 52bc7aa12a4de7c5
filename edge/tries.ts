import { RedisAway } from '../shared/redis.ts';
import type { Edge } from './context.ts';

const triesMax = 3;
/** No try begins later than this after the first: with its own time the caller waits 3.5 s at most. */
const beginMsMax = 2_000;
/** Between the first two tries, about, and twice as long before the third: a relay that restarts has a neighbour by then. */
const pauseMs = 100;

/**
 * Runs again what got no answer, since whether it was carried out is not known. So `run` must send the same idempotency
 * identity each time. An answer of any kind ends it. Throws the last RedisAway when tries or time are out.
 */
export async function tried<Reply>(edge: Edge, run: () => Promise<Reply>): Promise<Reply> {
  const begunMs = edge.nowMs();
  for (let tries = 1; ; tries++) {
    try {
      return await run();
    } catch (error) {
      const isOver = tries === triesMax || edge.nowMs() - begunMs > beginMsMax;
      if (isOver || !(error instanceof RedisAway)) throw error;
      await edge.pause(pauseMs * tries);
    }
  }
}
