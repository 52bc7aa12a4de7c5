import { isDevelopmentKey, looksLikeApiKey, verifyApiKey } from './apikey.ts';
import { Refusal } from './errors.ts';
import type { Grant } from './grant.ts';
import type { Settings } from './settings.ts';
import { verifyToken } from './token.ts';

/**
 * The grant of whatever credential was presented: an API key, a token, or none (then what is open to everyone).
 * A credential that is presented and wrong is refused, never taken for none: a page whose token ran out must hear of it.
 * `loopback`: whether development keys count here. Throws credential_invalid.
 */
export async function authenticate(
  credential: string | undefined,
  settings: Settings,
  { nowMs, loopback }: { nowMs: number; loopback: boolean },
): Promise<Grant> {
  if (credential === undefined) {
    return {
      kind: 'anonymous',
      principal: 'anonymous',
      scopes: [{ actions: ['read'], patterns: settings.anonymousRead }],
    };
  }
  const grant = looksLikeApiKey(credential)
    ? await verifyApiKey(credential, settings.apiKeys)
    : settings.tokens && (await verifyToken(credential, settings.tokens, nowMs));
  if (!grant || (isDevelopmentKey(credential) && !loopback)) throw credentialInvalid();
  return grant.kind === 'token' ? { ...grant, rate: settings.tokenRate } : grant;
}

/** Also for what is revoked: nobody learns which of its faults a credential has. */
export function credentialInvalid(): Refusal {
  return new Refusal(
    'credential_invalid',
    'Send a key or a token that is valid, unexpired and meant for this deployment.',
    {
      headers: { 'WWW-Authenticate': 'Bearer realm="edgewire", error="invalid_token"' },
    },
  );
}

/** The credential of an `Authorization` header; undefined without one. Throws for any other scheme than Bearer. */
export function bearerOf(authorization: string | undefined | null): string | undefined {
  if (authorization === undefined || authorization === null) return undefined;
  const m = /^Bearer +([\x21-\x7e]+)$/i.exec(authorization);
  if (!m) {
    throw new Refusal('credential_invalid', 'Write the header as Authorization: Bearer <key or token>.', {
      headers: { 'WWW-Authenticate': 'Bearer realm="edgewire", error="invalid_request"' },
    });
  }
  return m[1];
}
