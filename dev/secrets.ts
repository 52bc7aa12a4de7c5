import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';

/** Random, made once for a clone, so that yesterday's printed curl still works and nobody else's does. */
export interface Secrets {
  /** `ew_dev_local_<43 base64url characters>`: may do everything. */
  readonly publishKey: string;
  /** What the edge shows at the relay's door to Redis. */
  readonly restToken: string;
  /** base64url: signs subscribers' tokens. */
  readonly tokenSecret: string;
}

/** Reads `path`, or makes it. A file without all three is made anew: nothing but local curls depends on it. */
export function secretsIn(path: string): Secrets {
  const kept = existsSync(path) ? parse(readFileSync(path, 'utf8')) : undefined;
  if (kept) return kept;
  const made = newSecrets();
  writeFileSync(path, `${JSON.stringify(made, null, 2)}\n`, { mode: 0o600 });
  return made;
}

export function newSecrets(): Secrets {
  return {
    publishKey: `ew_dev_local_${randomBytes(32).toString('base64url')}`,
    restToken: randomBytes(32).toString('hex'),
    tokenSecret: randomBytes(32).toString('base64url'),
  };
}

function parse(text: string): Secrets | undefined {
  try {
    const { publishKey, restToken, tokenSecret } = JSON.parse(text);
    const whole = [publishKey, restToken, tokenSecret].every((secret) => typeof secret === 'string' && secret !== '');
    return whole ? { publishKey, restToken, tokenSecret } : undefined;
  } catch {
    return undefined; // Half written or edited by hand.
  }
}
