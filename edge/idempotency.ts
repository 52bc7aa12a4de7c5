import { sha256Hex } from '../shared/apikey.ts';
import { Refusal } from '../shared/errors.ts';
import { limits } from '../shared/limits.ts';
import type { Idempotency } from '../shared/scripts/publish.ts';
import { joined } from './body.ts';
import type { EdgeContext } from './context.ts';

/**
 * What makes a retry recognisable. With an `Idempotency-Key` the record belongs to the principal, so it survives a key
 * rotation and nobody meets another's. Without one the request has a name of its own, for the tries of this edge; a uuid
 * is no SHA-256, so it meets no key. `what` is everything that is asked beside the body, in a fixed order.
 */
export async function idempotencyOf(c: EdgeContext, what: readonly unknown[], body: Uint8Array): Promise<Idempotency> {
  const key = keyIn(c.req.header('Idempotency-Key'));
  if (key === undefined) return { digest: c.get('requestId'), fingerprint: '-', keepMs: limits.idempotencyTriesMs };
  const { kind, principal } = c.get('grant');
  return {
    digest: await sha256Hex(`${kind}:${principal}\n${key}`),
    fingerprint: await sha256Hex(joined([new TextEncoder().encode(`${JSON.stringify(what)}\n`), body])),
    keepMs: limits.idempotencyMsMax,
  };
}

/** Whether an earlier request has this answer, not an earlier try of the same one that knows no key. */
export function isReplayed(c: EdgeContext, { status }: { status: 'new' | 'again' }): boolean {
  return status === 'again' && c.req.header('Idempotency-Key') !== undefined;
}

/** The key of a header; a structured-field string (RFC 8941) and its bare text are the same key. */
function keyIn(header: string | undefined): string | undefined {
  if (header === undefined) return undefined;
  const text = header.trim();
  const quoted = /^"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"$/.exec(text);
  const key = quoted ? quoted[1]!.replace(/\\(.)/g, '$1') : text;
  const isHalfQuoted = !quoted && text.startsWith('"');
  if (isHalfQuoted || !/^[\x20-\x7e]+$/.test(key) || key.length > limits.idempotencyKeyCharsMax) {
    throw new Refusal(
      'header_invalid',
      `Idempotency-Key: use 1 to ${limits.idempotencyKeyCharsMax} printable ASCII characters, best a fresh UUID.`,
    );
  }
  return key;
}

export function conflict(): Refusal {
  return new Refusal(
    'idempotency_conflict',
    'Another request used this Idempotency-Key within 24 hours. Draw a new key, or repeat exactly what you sent.',
  );
}
