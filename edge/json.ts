import { Refusal } from '../shared/errors.ts';
import { limits } from '../shared/limits.ts';

/**
 * JSON as text: what a publisher wrote reaches readers to the letter, since a round trip through JavaScript's values would
 * change 64-bit integers, `1.0` and repeated names. So values are cut out of the text, never written anew.
 */

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** The text of UTF-8 bytes, without a byte order mark. Throws body_invalid for anything that is not UTF-8. */
export function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: false }).decode(bytes);
  } catch {
    throw new Refusal('body_invalid', 'Encode the body as UTF-8, or give a binary content type.');
  }
}

/**
 * The value of JSON text. Throws body_invalid unless it is JSON, at most `limits.jsonDepthMax` deep (plus `wraps`, the
 * levels that our own envelopes add), with every surrogate escape paired.
 */
export function parseJson(text: string, wraps = 0): unknown {
  if (text.trim() === '') throw new Refusal('body_invalid', 'The body is empty. Send one JSON value.');
  if (depthOf(text) > limits.jsonDepthMax + wraps) {
    throw new Refusal('body_invalid', `Nest JSON at most ${limits.jsonDepthMax} levels deep.`);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Refusal('body_invalid', 'Send one valid JSON value, or the content type that the body has.');
  }
  if (hasLoneSurrogate(text)) {
    throw new Refusal(
      'body_invalid',
      'Write \\ud800 to \\udfff in JSON strings only as pairs: alone they are not text.',
    );
  }
  return value;
}

/** Valid JSON text on one line: line breaks can only stand between tokens, where they mean nothing. */
export function oneLine(text: string): string {
  return text.replace(/[\r\n]+/g, '');
}

/** The texts of the values in a JSON array. `text` must be a valid one. */
export function elementsOf(text: string): string[] {
  return Array.from(partsOf(text), (part) => part.text);
}

/** The text of the value called `name` in a JSON object, of its last one as in JSON.parse. `text` must be valid. */
export function memberOf(text: string, name: string): string | undefined {
  let found: string | undefined;
  for (const part of partsOf(text)) if (part.name === name) found = part.text;
  return found;
}

function* partsOf(text: string): Generator<{ name: string | undefined; text: string }> {
  let at = afterSpace(text, 0);
  const named = text[at++] === '{';
  for (;;) {
    at = afterSpace(text, at);
    if (text[at] === ']' || text[at] === '}') return;
    if (text[at] === ',') {
      at++;
      continue;
    }
    let name: string | undefined;
    if (named) {
      const end = afterString(text, at);
      name = JSON.parse(text.slice(at, end)) as string;
      at = afterSpace(text, end) + 1; // the colon
    }
    const end = afterValue(text, at);
    yield { name, text: text.slice(at, end).trim() };
    at = end;
  }
}

function afterSpace(text: string, at: number): number {
  let next = at;
  while (text.charCodeAt(next) <= 0x20) next++;
  return next;
}

/** Just past the string that begins at `at`; the end of the text if it never ends. */
function afterString(text: string, at: number): number {
  let quote = at;
  for (;;) {
    quote = text.indexOf('"', quote + 1);
    if (quote < 0) return text.length;
    let slashes = 0;
    while (text.charCodeAt(quote - 1 - slashes) === BACKSLASH) slashes++;
    if (slashes % 2 === 0) return quote + 1;
  }
}

/** Just past the value at `at`, or past the space behind it, within an array or object. */
function afterValue(text: string, at: number): number {
  let depth = 0;
  let next = at;
  while (next < text.length) {
    const char = text[next];
    if (depth === 0 && (char === ',' || char === ']' || char === '}')) return next;
    if (char === '"') {
      next = afterString(text, next);
      continue;
    }
    if (char === '[' || char === '{') depth++;
    if (char === ']' || char === '}') depth--;
    next++;
  }
  return next;
}

/** How deep brackets nest outside strings: one pass and no stack, so that the deepest text costs what any other does. */
function depthOf(text: string): number {
  let depth = 0;
  let deepest = 0;
  for (let at = 0; at < text.length; ) {
    const char = text.charCodeAt(at);
    if (char === QUOTE) {
      at = afterString(text, at);
      continue;
    }
    if (char === 0x5b || char === 0x7b) deepest = Math.max(deepest, ++depth);
    if (char === 0x5d || char === 0x7d) depth--;
    at++;
  }
  return deepest;
}

const PAIR_OR_LONE =
  /\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)/g;

/** Raw surrogates cannot be there, as the text came from UTF-8; escaped ones are walked escape by escape. */
function hasLoneSurrogate(text: string): boolean {
  if (!/\\u[dD][89a-fA-F]/.test(text)) return false;
  for (const match of text.matchAll(PAIR_OR_LONE)) if (match[1] !== undefined) return true;
  return false;
}
