import type { Script } from '../redis.ts';
import { batch } from './batch.ts';
import { audit, forget, probe } from './clock.ts';
import { history, message, purge } from './history.ts';
import { publish } from './publish.ts';
import { changes, recent, replay } from './replay.ts';
import { admit, revocations, revoke } from './revocation.ts';

/** Every script there is: what the REST door lets pass and what the conformance suite runs. */
export const catalogue = [
  publish,
  batch,
  history,
  message,
  purge,
  changes,
  recent,
  replay,
  probe,
  audit,
  forget,
  admit,
  revoke,
  revocations,
] as const satisfies readonly Script<never, unknown>[];
