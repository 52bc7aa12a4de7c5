import type { JWK } from 'jose';
import * as z from 'zod/mini';
import type { ApiKey } from './apikey.ts';
import { type Pattern, parsePattern } from './channel.ts';
import { actions } from './grant.ts';
import { type Keys, keysOf, parseNamespace } from './keys.ts';
import { parseRate, type Rate } from './rate.ts';
import { parseRetention, type RetentionRule } from './retention.ts';
import type { TokenSettings } from './token.ts';

/** What edge and relay are both told, by environment variables of the same names. */
export interface Settings {
  keys: Keys;
  retention: readonly RetentionRule[];
  apiKeys: readonly ApiKey[];
  /** Absent: no token is accepted and none is minted. */
  tokens: TokenSettings | undefined;
  /** How fast each token's subject may publish; absent: as fast as it can. */
  tokenRate: Rate | undefined;
  /** Exact origins, such as `https://app.example`, that browsers may call from. */
  allowedOrigins: ReadonlySet<string>;
  /** What may be read without a credential. */
  anonymousRead: readonly Pattern[];
}

const text = z.string().check(z.regex(/^.{1,256}$/s));
const pattern = z.string().check(z.refine((text) => parsePattern(text) !== undefined));

/** A second entry of one name would never be looked at: a rotation done wrongly must not wait for somebody's lock-out. */
function distinct(names: readonly string[]): boolean {
  return new Set(names).size === names.length;
}

const apiKeys = z
  .array(
    z.strictObject({
      id: z.string().check(z.regex(/^[A-Za-z0-9-]{1,32}$/)),
      principal: text,
      sha256: z.string().check(z.regex(/^[0-9a-f]{64}$/)),
      scopes: z.array(z.strictObject({ actions: z.array(z.enum(actions)), patterns: z.array(pattern) })),
      rate: z.optional(
        z.pipe(z.string().check(z.refine((text) => parseRate(text) !== undefined)), z.transform(parseRate)),
      ),
      streams: z.optional(z.number().check(z.refine((count) => Number.isSafeInteger(count) && count > 0))),
    }),
  )
  .check(z.refine((keys) => distinct(keys.map((key) => key.id))));

const tokenKey = z
  .strictObject({
    kid: text,
    alg: z.enum(['HS256', 'ES256', 'EdDSA']),
    // RFC 7518 3.2: an HS256 key has at least 256 bits, which is 43 characters of base64url.
    secret: z.optional(z.string().check(z.regex(/^[A-Za-z0-9_-]{43,}$/))),
    jwk: z.optional(z.unknown()),
  })
  .check(z.refine(isOfItsAlgorithm));

/** RFC 7518 6.2 and RFC 8037: a key that could not be imported would refuse every token without a word. */
function isOfItsAlgorithm({ alg, secret, jwk }: { alg: string; secret?: string | undefined; jwk?: unknown }): boolean {
  if (alg === 'HS256') return secret !== undefined && jwk === undefined;
  if (secret !== undefined || typeof jwk !== 'object' || jwk === null) return false;
  const { kty, crv, x, y, d } = jwk as JWK;
  const is32Bytes = (number: unknown) => typeof number === 'string' && /^[A-Za-z0-9_-]{43}$/.test(number);
  if (!is32Bytes(x) || !(d === undefined || is32Bytes(d))) return false;
  return alg === 'EdDSA' ? kty === 'OKP' && crv === 'Ed25519' : kty === 'EC' && crv === 'P-256' && is32Bytes(y);
}

const tokens = z.strictObject({
  issuer: text,
  audience: text,
  keys: z.array(tokenKey).check(z.refine((keys) => distinct(keys.map((key) => key.kid)))),
});

/** Collects faults, so that a wrong configuration is told whole, once. Never repeats a value: most are secrets. */
export class Faults {
  readonly list: string[] = [];

  /** `parse(text)`, or the fallback when the variable is absent or wrong (then it is noted). */
  read<T>(
    name: string,
    text: string | undefined,
    fallback: T,
    parse: (text: string) => T | undefined,
    rule: string,
  ): T {
    if (text === undefined || text === '') return fallback;
    try {
      const value = parse(text);
      if (value !== undefined) return value;
    } catch (error) {
      if (error instanceof RangeError) {
        this.list.push(`${name}: ${error.message}`);
        return fallback;
      }
    }
    this.list.push(`${name}: ${rule}`);
    return fallback;
  }

  /** Throws one error with every fault, a line each. */
  settle(program: string): void {
    if (this.list.length > 0)
      throw new Error(`${program} cannot start:\n${this.list.map((f) => `  - ${f}`).join('\n')}`);
  }
}

/** Reads the shared variables; notes what is wrong in `faults`. */
export function readSettings(env: Record<string, string | undefined>, faults: Faults): Settings {
  return {
    keys: keysOf(faults.read('NAMESPACE', env.NAMESPACE, 'default', parseNamespace, 'use 1 to 32 of a-z 0-9 _ -')),
    retention: faults.read('RETENTION', env.RETENTION, parseRetention(''), parseRetention, 'write pattern=length/time'),
    apiKeys: faults.read<readonly ApiKey[]>(
      'API_KEYS',
      env.API_KEYS,
      [],
      (text) => fitting(apiKeys, text) as ApiKey[],
      'a JSON array of {id, principal, sha256, scopes:[{actions, patterns}], rate?, streams?}',
    ),
    tokens: faults.read<TokenSettings | undefined>(
      'TOKENS',
      env.TOKENS,
      undefined,
      (text) => fitting(tokens, text) as TokenSettings,
      'JSON {issuer, audience, keys:[{kid, alg, secret | jwk}]}',
    ),
    tokenRate: faults.read('TOKEN_RATE', env.TOKEN_RATE, undefined, parseRate, 'use messages/time, as in 100/s'),
    allowedOrigins: faults.read<ReadonlySet<string>>(
      'ALLOWED_ORIGINS',
      env.ALLOWED_ORIGINS,
      new Set(),
      (text) => {
        const origins = listOf(text);
        // A `*` in a host parses, matches no browser's Origin and would wait there unnoticed.
        const exact = (o: string) => URL.canParse(o) && new URL(o).origin === o && !o.includes('*');
        return origins.every(exact) ? new Set(origins) : undefined;
      },
      'exact origins, separated by commas',
    ),
    anonymousRead: faults.read<readonly Pattern[]>(
      'ANONYMOUS_READ',
      env.ANONYMOUS_READ,
      [],
      (text) => {
        const patterns = listOf(text).map(parsePattern);
        return patterns.every((p) => p !== undefined) ? patterns : undefined;
      },
      'patterns, separated by commas',
    ),
  };
}

/** Words that commas or spaces part. */
export function listOf(text: string): string[] {
  return text.split(/[\s,]+/).filter((part) => part !== '');
}

/** Where it does not fit, says at which path, not with which value. */
function fitting(schema: z.ZodMiniType, text: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new RangeError('not JSON');
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const at = result.error.issues.map((issue) => issue.path.join('.') || 'the top').join(', ');
  throw new RangeError(`does not have the expected shape at ${at}`);
}
