import type { Grant, Scope } from './grant.ts';
import type { Rate } from './rate.ts';
import { revocationNames } from './revocation.ts';

/** A publisher's API key as the configuration knows it: never the key, only its SHA-256. */
export interface ApiKey {
  id: string;
  /** Survives rotation: two keys of one principal share its idempotency records. */
  principal: string;
  /** Lower-case hex of SHA-256 over the whole key string. A key holds 256 random bits, so no slow hash is needed. */
  sha256: string;
  scopes: readonly Scope[];
  /** How fast it may publish; absent = as fast as it can. */
  rate?: Rate | undefined;
  /** How many streams its principal may hold at one relay; absent = no bound of its own. */
  streams?: number | undefined;
}

/** `ew_<env>_<keyid>_<secret>`; the secret may itself contain `_`. */
const FORMAT = /^ew_([a-z0-9]{1,16})_([A-Za-z0-9-]{1,32})_([A-Za-z0-9_-]{32,128})$/;

export function looksLikeApiKey(text: string): boolean {
  return text.startsWith('ew_');
}

/** Development keys work only towards loopback: at the edge by the URL's host, at the relay by its listening address. */
export function isDevelopmentKey(text: string): boolean {
  return text.startsWith('ew_dev_');
}

/** The grant of an API key, or undefined. The work is the same for unknown ids as for wrong secrets. */
export async function verifyApiKey(text: string, known: readonly ApiKey[]): Promise<Grant | undefined> {
  const id = FORMAT.exec(text)?.[2];
  const digest = await sha256Hex(text);
  const key = known.find((k) => k.id === id);
  if (!equalInConstantTime(digest, key?.sha256 ?? ''.padEnd(64, 'x')) || !key) return undefined;
  const { principal, scopes, rate, streams } = key;
  const revocable = { names: [revocationNames.key(key.id), ''] as const, issuedMs: 0 };
  return { kind: 'key', principal, scopes, revocable, rate, streamsMax: streams };
}

export async function sha256Hex(text: string | Uint8Array): Promise<string> {
  const bytes = typeof text === 'string' ? new TextEncoder().encode(text) : text;
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes as BufferSource));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/**
 * Whether two texts are the same, in a time that depends on their lengths only. Ours, because the platform's
 * `timingSafeEqual` differs between Node and Workers (throws on unequal lengths, lives in other places).
 */
export function equalInConstantTime(a: string, b: string): boolean {
  let difference = a.length ^ b.length;
  for (let i = 0; i < a.length; i++) difference |= a.charCodeAt(i) ^ b.charCodeAt(i % (b.length || 1));
  return difference === 0;
}
