/**
 * What is revoked is kept as a name and a time: credentials of that name that were issued before it are refused. An API key
 * is `k:<keyid>`, one token `j:<jti>`, all tokens of a subject `s:<sub>`.
 */
export const revocationNames = {
  key: (id: string) => `k:${id}`,
  jti: (jti: string) => `j:${jti}`,
  sub: (sub: string) => `s:${sub}`,
};

/** Before this everything was issued: revoked whatever its age. */
export const always = Number.MAX_SAFE_INTEGER;

/** How a credential may be revoked. */
export interface Revocable {
  /** The second may be '', which names nothing. */
  names: readonly [string, string];
  /** A token without `iat` counts as issued as early as its `exp` allows; a key has no time, 0. */
  issuedMs: number;
}

/** As it crosses Redis: `3 <before ms> <name>`. */
export interface Revocation {
  name: string;
  beforeMs: number;
}

export function parseRevocation(bytes: Uint8Array): Revocation | undefined {
  const m = /^3 (\d{1,16}) (.+)$/s.exec(new TextDecoder().decode(bytes));
  return m ? { name: m[2]!, beforeMs: Number(m[1]) } : undefined;
}
