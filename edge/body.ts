import { Refusal } from '../shared/errors.ts';
import { limits } from '../shared/limits.ts';
import { decodeUtf8, oneLine, parseJson } from './json.ts';
import { parseMediaType } from './media.ts';
import { parsePairs } from './query.ts';

/** What a body is taken for, by its content type. */
export interface BodyKind {
  kind: 'json' | 'text' | 'form' | 'binary' | 'envelope';
  /** As given; what a binary body is handed on with. */
  contentType: string;
}

export const envelopeType = 'application/vnd.edgewire+json';

/** Throws content_type_unsupported for types that are malformed, promise another charset, or mean more than one message. */
export function bodyKindOf(header: string | undefined): BodyKind {
  const contentType = header?.trim() || 'application/octet-stream';
  const media = parseMediaType(contentType);
  if (!media) throw unsupported('Write the Content-Type as type/subtype, at most 255 characters.');
  const { essence, charset } = media;
  if (essence.startsWith('multipart/')) throw unsupported('Send the part itself, with its own content type.');
  if (essence.startsWith('application/cloudevents')) {
    throw unsupported(
      'CloudEvents are not accepted yet. Send the data itself, or an envelope in application/vnd.edgewire+json.',
    );
  }
  const kind = kindOf(essence);
  if (kind !== 'binary' && charset !== undefined && !/^(utf-?8|us-ascii)$/.test(charset)) {
    throw unsupported('Encode text as UTF-8 and say charset=utf-8, or nothing.');
  }
  return { kind, contentType };
}

function kindOf(essence: string): BodyKind['kind'] {
  if (essence === envelopeType) return 'envelope';
  if (essence === 'application/json' || essence.endsWith('+json')) return 'json';
  if (essence === 'application/x-www-form-urlencoded') return 'form';
  return essence.startsWith('text/') ? 'text' : 'binary';
}

/**
 * The body's bytes, at most `bytesMax`, announced or counted while they come. One that is too large is read on to a bound
 * and dropped: answered in the middle of its sending, most clients would see a broken connection and not the answer.
 * Throws body_too_large, content_type_unsupported for a compressed body, and body_invalid for one that breaks off: its
 * sender has gone, which is no fault of ours.
 */
export async function readBody(request: Request, bytesMax: number): Promise<Uint8Array> {
  const encoding = request.headers.get('Content-Encoding')?.trim().toLowerCase() || 'identity';
  if (encoding !== 'identity') throw unsupported('Send the body uncompressed, without Content-Encoding.');
  const announced = Number(request.headers.get('Content-Length'));
  const tooLarge = new Refusal('body_too_large', `Send at most ${bytesMax} bytes.`);
  if (announced > limits.bodyLingerBytesMax) throw tooLarge;
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const chunk of (request.body ?? []) as AsyncIterable<Uint8Array>) {
      size += chunk.length;
      if (Math.max(size, announced) <= bytesMax) chunks.push(chunk);
      if (size > limits.bodyLingerBytesMax) break; // leaving the loop cancels the stream
    }
  } catch {
    throw new Refusal('body_invalid', 'The body broke off. Send all of it.');
  }
  if (size > bytesMax) throw tooLarge;
  return joined(chunks);
}

/** One after the other in one array. */
export function joined(chunks: readonly Uint8Array[]): Uint8Array {
  if (chunks.length === 1) return chunks[0]!;
  const whole = new Uint8Array(chunks.reduce((size, chunk) => size + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}

/** The JSON text that a body of this kind is as `data`, one line. An envelope holds its data inside: not for here. */
export function dataOf(kind: Exclude<BodyKind['kind'], 'envelope'>, bytes: Uint8Array): string {
  if (kind === 'binary') return `{"$base64":"${base64(bytes)}"}`;
  const text = decodeUtf8(bytes);
  if (kind === 'json') {
    parseJson(text);
    return oneLine(text);
  }
  const json = JSON.stringify(kind === 'text' ? text : fieldsOf(text));
  if (json.length > limits.dataCharsMax) {
    throw new Refusal(
      'body_too_large',
      'Escaped as JSON this text grows too large. Send it as application/octet-stream.',
    );
  }
  return json;
}

/** A form's fields by name; a name that comes again makes a list. */
function fieldsOf(text: string): Record<string, string | string[]> {
  const mistaken = !text.includes('=') || /^\s*[{["]/.test(text);
  const pairs = mistaken ? undefined : parsePairs(text);
  if (!pairs) {
    throw new Refusal(
      'body_invalid',
      mistaken
        ? "This is no form. curl -d sends a form: use curl --json, or -H 'Content-Type: text/plain'."
        : 'Percent-encode the form as UTF-8; write "%" itself as %25.',
    );
  }
  const fields = new Map<string, string | string[]>();
  for (const [name, value] of pairs) {
    const before = fields.get(name);
    fields.set(name, before === undefined ? value : [before, value].flat());
  }
  return Object.fromEntries(fields); // defines fields, so that `__proto__` is a name like any other
}

/** `btoa` takes characters; more than some 100,000 at once would overflow the call stack. */
function base64(bytes: Uint8Array): string {
  const sliceBytes = 0x8000;
  let binary = '';
  for (let at = 0; at < bytes.length; at += sliceBytes) {
    binary += String.fromCharCode(...bytes.subarray(at, at + sliceBytes));
  }
  return btoa(binary);
}

function unsupported(detail: string): Refusal {
  return new Refusal('content_type_unsupported', detail);
}
