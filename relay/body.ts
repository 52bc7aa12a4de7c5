import type { Context } from 'hono';
import { Refusal } from '../shared/errors.ts';

/** A batch of 1 MiB, escaped once more as JSON strings within JSON. */
const bodyBytesMax = 4 << 20;

/**
 * The text of a body from an edge, whose length is announced, or else counted while it comes. Not hono/body-limit: it copies
 * requests that announce nothing, which the server's own kind of request does not allow. Throws body_too_large.
 */
export async function textIn(c: Context): Promise<string> {
  const announced = c.req.header('content-length');
  const tooLarge = new Refusal('body_too_large', 'request too large');
  if (Number(announced) > bodyBytesMax) throw tooLarge;
  if (announced !== undefined) return c.req.text();
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of (c.req.raw.body ?? []) as AsyncIterable<Uint8Array>) {
    size += chunk.length;
    if (size <= bodyBytesMax) chunks.push(chunk); // the rest is read and dropped: who still sends hears no answer
  }
  if (size > bodyBytesMax) throw tooLarge;
  return Buffer.concat(chunks).toString('utf8');
}
