import type { Grant } from '../shared/grant.ts';
import { RedisAway } from '../shared/redis.ts';
import { parseRevocation, type Revocation } from '../shared/revocation.ts';
import { revocations as list } from '../shared/scripts/revocation.ts';
import type { Log } from './log.ts';
import type { Commands } from './redis.ts';

/**
 * Who may no longer read, as this relay knows it: heard on the control name at once, and read whole at the start, whenever
 * the subscription was away, and now and then, since pub/sub may drop a message.
 */
export interface Revocations {
  /** Whether all is known; while not, no new stream is taken in. */
  readonly known: boolean;
  covers(grant: Grant): boolean;
  /** Whether it was one. */
  hear(bytes: Uint8Array): boolean;
  /** From here on something may be missed. */
  lost(): void;
  read(): void;
  /** About once a second: reads when it is due. */
  tick(): void;
}

const DUE_MS = 30_000;

export function createRevocations({
  redis,
  log,
  now,
  onMore,
}: {
  redis: Pick<Commands, 'run'>;
  log: Log;
  now(): number;
  /** More is revoked than before. */
  onMore(): void;
}): Revocations {
  let known = false;
  let revoked = new Map<string, number>();
  /** Heard since the read under way began, which may not have them; undefined = none is under way. */
  let meanwhile: Revocation[] | undefined;
  let again = false;
  let losses = 0;
  let readMs = now();

  /** Whether it adds anything. */
  function add({ name, beforeMs }: Revocation): boolean {
    if ((revoked.get(name) ?? 0) >= beforeMs) return false;
    revoked.set(name, beforeMs);
    return true;
  }

  async function readWhole(): Promise<void> {
    let lossesBefore: number;
    do {
      again = false;
      lossesBefore = losses;
      meanwhile = [];
      readMs = now();
      const before = revoked;
      revoked = await redis.run(list, {}).catch((error: unknown) => {
        meanwhile = undefined;
        throw error;
      });
      for (const revocation of meanwhile) add(revocation);
      meanwhile = undefined;
      if ([...revoked].some(([name, beforeMs]) => (before.get(name) ?? 0) < beforeMs)) onMore();
    } while (again);
    known = losses === lossesBefore;
  }

  return {
    get known() {
      return known;
    },
    covers({ revocable }) {
      return (
        revoked.size > 0 &&
        revocable !== undefined &&
        revocable.names.some((name) => (revoked.get(name) ?? 0) > revocable.issuedMs)
      );
    },
    hear(bytes) {
      const revocation = parseRevocation(bytes);
      if (!revocation) return false;
      meanwhile?.push(revocation);
      if (add(revocation)) onMore();
      return true;
    },
    lost() {
      known = false;
      losses++;
    },
    read() {
      if (meanwhile) {
        again = true; // the one under way may have begun before what is to be seen
        return;
      }
      readWhole().catch((error: unknown) => {
        if (!(error instanceof RedisAway)) log.error({ err: error }, 'Redis refused to tell what is revoked');
      });
    },
    tick() {
      if (!meanwhile && (!known || now() - readMs >= DUE_MS)) this.read();
    },
  };
}
