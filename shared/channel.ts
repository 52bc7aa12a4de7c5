import { limits } from './limits.ts';

/** `segment(:segment)*`, proven. Only `parseChannel` makes one. */
export type Channel = string & { readonly brand: 'Channel' };
/** A channel in which `*` stands for zero or more characters, `:` included. Only `parsePattern` makes one. */
export type Pattern = string & { readonly brand: 'Pattern' };

const CHANNEL_CHARS = /^[A-Za-z0-9_.~:-]+$/;
const PATTERN_CHARS = /^[A-Za-z0-9_.~:*-]+$/;

function wellFormed(text: string): boolean {
  if (text.length > limits.channelCharsMax) return false;
  const segments = text.split(':');
  if (segments.length > limits.channelSegmentsMax) return false;
  // `.` and `..` would be dropped or climbed by URL parsers and proxies.
  return segments.every((s) => s.length >= 1 && s.length <= limits.segmentCharsMax && s !== '.' && s !== '..');
}

/** The channel that `text` names, or undefined. Case matters; nothing is trimmed or decoded. */
export function parseChannel(text: string): Channel | undefined {
  return CHANNEL_CHARS.test(text) && wellFormed(text) ? (text as Channel) : undefined;
}

/** The pattern that `text` is, or undefined. A pattern without `*` is allowed and matches itself. */
export function parsePattern(text: string): Pattern | undefined {
  if (!PATTERN_CHARS.test(text) || !wellFormed(text)) return undefined;
  return text.split('*').length - 1 <= limits.patternStarsMax ? (text as Pattern) : undefined;
}

/** What a refusal says about a name that is neither; it never repeats the name. */
export const channelRule =
  'Use segments of A-Z a-z 0-9 _ . ~ - joined by ":", each at most 64 characters, at most 16 segments and 255 characters; no segment "." or "..".';
export const patternRule = `A pattern is a channel in which "*" stands for any characters (":" too), at most ${limits.patternStarsMax} of them. "?" and "[...]" are not supported.`;

/**
 * Whether `pattern` matches `name`. Greedy with one saved return point, the classic wildcard walk, no recursion, no
 * RegExp. Usually one look at each character; at most name x pattern of them, 65,025 at the limits, whatever is tried.
 */
export function matches(pattern: Pattern, name: string): boolean {
  let p = 0;
  let n = 0;
  let star = -1;
  let resume = 0;
  while (n < name.length) {
    if (pattern[p] === '*') {
      star = p++;
      resume = n;
    } else if (pattern[p] === name[n]) {
      p++;
      n++;
    } else if (star >= 0) {
      p = star + 1;
      n = ++resume;
    } else {
      return false;
    }
  }
  while (pattern[p] === '*') p++;
  return p === pattern.length;
}

/**
 * Whether every channel that `asked` matches is matched by `granted` too. The asked pattern is read as a name in
 * which `*` is one symbol that only a `*` absorbs, so the test is the match itself.
 */
export function contains(granted: Pattern, asked: Channel | Pattern): boolean {
  return matches(granted, asked);
}

/** The first segment, under which every channel is also published: what a pattern with that root subscribes to. */
export function rootOf(channel: Channel): string {
  const end = channel.indexOf(':');
  return end < 0 ? channel : channel.slice(0, end);
}

/** The literal first segment that everything `pattern` matches shares, or undefined if it matches across roots. */
export function patternRoot(pattern: Pattern): string | undefined {
  const root = rootOf(pattern as unknown as Channel);
  return root.includes('*') ? undefined : root;
}

/**
 * Any text as one segment: each UTF-8 byte outside `[A-Za-z0-9_.-]` becomes `~XX`, `~` itself too.
 * Throws RangeError for the empty string and for results over 64 characters, which no channel can hold.
 */
export function encodeSegment(text: string): string {
  let out = '';
  for (const byte of new TextEncoder().encode(text)) {
    const char = String.fromCharCode(byte);
    out += /[A-Za-z0-9_.-]/.test(char) ? char : `~${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  if (out === '.' || out === '..') out = out.replaceAll('.', '~2E');
  if (out.length < 1 || out.length > limits.segmentCharsMax) {
    throw new RangeError(
      `a segment holds 1 to ${limits.segmentCharsMax} characters, this one would take ${out.length}`,
    );
  }
  return out;
}

/** The text that `encodeSegment` was given, or undefined if `segment` is not its work. */
export function decodeSegment(segment: string): string | undefined {
  const bytes: number[] = [];
  for (let i = 0; i < segment.length; i++) {
    if (segment[i] !== '~') {
      bytes.push(segment.charCodeAt(i));
      continue;
    }
    const hex = segment.slice(i + 1, i + 3);
    if (!/^[0-9A-F]{2}$/.test(hex)) return undefined;
    bytes.push(Number.parseInt(hex, 16));
    i += 2;
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(new Uint8Array(bytes));
  } catch {
    return undefined; // not UTF-8, so not ours
  }
}
