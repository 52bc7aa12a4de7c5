import { decodeProtectedHeader, importJWK, type JWK, type JWTPayload, jwtVerify, SignJWT } from 'jose';
import { type Channel, type Pattern, parseChannel, parsePattern } from './channel.ts';
import type { Grant } from './grant.ts';
import { limits } from './limits.ts';
import { revocationNames } from './revocation.ts';

export type TokenAlgorithm = 'HS256' | 'ES256' | 'EdDSA';

/** One signing key. Exactly one of `secret` (HS256, base64url) and `jwk` (a public key verifies, a private one also signs). */
export interface TokenKey {
  kid: string;
  /** Pinned here: what a token's header says of its algorithm must equal it and decides nothing. */
  alg: TokenAlgorithm;
  secret?: string;
  jwk?: JWK;
}

export interface TokenSettings {
  issuer: string;
  audience: string;
  keys: readonly TokenKey[];
}

/** What a token says beside the registered claims. */
export interface TokenClaims {
  sub: string;
  channels: Channel[];
  patterns: Pattern[];
  publish: Pattern[];
}

/** Seconds by which clocks may differ. */
const SKEW_S = 5;

/**
 * The grant of a token, or undefined: signature by a known `kid` with that key's own algorithm, `iss aud sub exp jti`
 * present and right, `nbf` enforced, not longer lived than the limit, names within grammar and count. `jku`, `jwk` and
 * `x5u` are never read; `crit` is refused by jose. RFC 7519, RFC 8725.
 */
export async function verifyToken(token: string, settings: TokenSettings, nowMs: number): Promise<Grant | undefined> {
  if (token.length > limits.tokenBytesMax) return undefined;
  try {
    const { kid } = decodeProtectedHeader(token);
    const key = settings.keys.find((k) => k.kid === kid) ?? (kid === undefined ? onlyKey(settings) : undefined);
    if (!key) return undefined;
    const { payload } = await jwtVerify(token, await material(key, 'verify'), {
      algorithms: [key.alg],
      issuer: settings.issuer,
      audience: settings.audience,
      requiredClaims: ['sub', 'exp', 'jti'],
      clockTolerance: SKEW_S,
      currentDate: new Date(nowMs),
    });
    return grantOf(payload, nowMs);
  } catch {
    return undefined; // every way in which a token can be wrong has one answer, so that it teaches nothing
  }
}

function onlyKey(settings: TokenSettings): TokenKey | undefined {
  return settings.keys.length === 1 ? settings.keys[0] : undefined;
}

function grantOf(payload: JWTPayload, nowMs: number): Grant | undefined {
  // A stream ends when a reconnect would be refused, not before: else the client would come back in vain.
  const expiresMs = (payload.exp! + SKEW_S) * 1000;
  const longestMs = limits.tokenLifeMsMax + 2 * SKEW_S * 1000;
  const bornMs = typeof payload.iat === 'number' ? payload.iat * 1000 : nowMs;
  // jose checks that both are present, not that they are text.
  const { sub, jti } = payload;
  if (typeof sub !== 'string' || sub === '' || sub.length > 256) return undefined;
  if (typeof jti !== 'string' || jti === '') return undefined;
  if (expiresMs - nowMs > longestMs || expiresMs - bornMs > longestMs) return undefined;
  const channels = names(payload.channels, parseChannel);
  const patterns = names(payload.patterns, parsePattern);
  const publish = names(payload.publish, parsePattern);
  if (!channels || !patterns || !publish) return undefined;
  return {
    kind: 'token',
    principal: sub,
    expiresMs,
    revocable: {
      names: [revocationNames.jti(jti), revocationNames.sub(sub)],
      issuedMs: typeof payload.iat === 'number' ? bornMs : payload.exp! * 1000 - limits.tokenLifeMsMax,
    },
    scopes: [
      { actions: ['read'], patterns: [...(channels as readonly string[] as Pattern[]), ...patterns] },
      { actions: ['publish'], patterns: publish },
    ],
  };
}

function names<Name>(claim: unknown, parse: (text: string) => Name | undefined): Name[] | undefined {
  if (claim === undefined) return [];
  if (!Array.isArray(claim) || claim.length > limits.tokenNamesMax) return undefined;
  const parsed = claim.map((name) => (typeof name === 'string' ? parse(name) : undefined));
  return parsed.every((name) => name !== undefined) ? parsed : undefined;
}

/**
 * A signed token. `jti` is fresh random text by the caller. Throws RangeError when no configured key can sign.
 * `lifeMs` is cut to the limit.
 */
export async function signToken(
  claims: TokenClaims,
  settings: TokenSettings,
  { nowMs, lifeMs, jti }: { nowMs: number; lifeMs: number; jti: string },
): Promise<{ token: string; expiresMs: number }> {
  const key = settings.keys.find((k) => k.secret !== undefined || k.jwk?.d !== undefined);
  if (!key) throw new RangeError('no token key can sign: configure a secret or a private JWK');
  const issued = Math.floor(nowMs / 1000);
  const expires = issued + Math.floor(Math.min(lifeMs, limits.tokenLifeMsMax) / 1000);
  const { sub, ...named } = claims;
  const token = await new SignJWT({ ...named })
    .setProtectedHeader({ alg: key.alg, kid: key.kid, typ: 'JWT' })
    .setIssuer(settings.issuer)
    .setAudience(settings.audience)
    .setSubject(sub)
    .setIssuedAt(issued)
    .setExpirationTime(expires)
    .setJti(jti)
    .sign(await material(key, 'sign'));
  return { token, expiresMs: expires * 1000 };
}

// Importing a JWK takes some 100 us; a settings object lives as long as its program.
const imported = { verify: new WeakMap<TokenKey, Material>(), sign: new WeakMap<TokenKey, Material>() };
type Material = Promise<CryptoKey | Uint8Array>;

function material(key: TokenKey, use: 'verify' | 'sign'): Material {
  let known = imported[use].get(key);
  if (!known) {
    const { d, ...open } = key.jwk ?? { kty: 'oct', k: key.secret! };
    known = importJWK(use === 'sign' && d !== undefined ? { ...open, d } : open, key.alg);
    imported[use].set(key, known);
  }
  return known;
}
