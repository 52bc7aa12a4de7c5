import { type Channel, contains, type Pattern } from './channel.ts';
import { Refusal } from './errors.ts';
import type { Rate } from './rate.ts';
import type { Revocable } from './revocation.ts';

export const actions = ['publish', 'read', 'mint', 'admin'] as const;
export type Action = (typeof actions)[number];

/** These actions on whatever these patterns match. */
export interface Scope {
  actions: readonly Action[];
  patterns: readonly Pattern[];
}

/** What a credential allows, proven. */
export interface Grant {
  kind: 'key' | 'token' | 'anonymous';
  /** Who it is, over rotations: the key's principal or the token's subject. */
  principal: string;
  scopes: readonly Scope[];
  /** When a token's time is over, ms; absent = never. */
  expiresMs?: number;
  /** How it may be revoked; absent: cannot be. */
  revocable?: Revocable;
  /** How fast it may publish; absent = as fast as it can. */
  rate?: Rate | undefined;
  /** How many streams its principal may hold at one relay; absent = as the relay has it. */
  streamsMax?: number | undefined;
}

export function allows(grant: Grant, action: Action, name: Channel | Pattern): boolean {
  return grant.scopes.some((s) => s.actions.includes(action) && s.patterns.some((p) => contains(p, name)));
}

/** Throws not_granted naming up to five of the names (which passed the grammar) that the grant lacks; 401 for the anonymous. */
export function demand(grant: Grant, action: Action, names: readonly (Channel | Pattern)[]): void {
  const lacking = names.filter((name) => !allows(grant, action, name));
  if (lacking.length === 0) return;
  const shown = `${lacking.slice(0, 5).join(', ')}${lacking.length > 5 ? ` and ${lacking.length - 5} more` : ''}`;
  if (grant.kind === 'anonymous') {
    throw new Refusal(
      'credential_missing',
      `To ${action} ${shown}, send a key or token: Authorization: Bearer <...>.`,
      {
        headers: { 'WWW-Authenticate': 'Bearer realm="edgewire"' },
      },
    );
  }
  throw new Refusal('not_granted', `This ${grant.kind} may not ${action} ${shown}. Use one whose scopes cover it.`);
}
