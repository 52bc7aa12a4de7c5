import { Refusal } from '../shared/errors.ts';
import type { EdgeContext } from './context.ts';

/**
 * The names and values of `a=1&b=2`, decoded as forms are, but strictly: undefined when a `%` is not followed by two hex
 * digits or the bytes are not UTF-8, where URLSearchParams would make something up.
 */
export function parsePairs(text: string): [string, string][] | undefined {
  try {
    return text
      .split('&')
      .filter((pair) => pair !== '')
      .map((pair) => {
        const end = pair.indexOf('=');
        return end < 0 ? [decode(pair), ''] : [decode(pair.slice(0, end)), decode(pair.slice(end + 1))];
      });
  } catch {
    return undefined; // URIError, the only thing that `decode` throws
  }
}

function decode(text: string): string {
  return decodeURIComponent(text.replaceAll('+', ' '));
}

/**
 * The query parameters, each known and given once: a misspelt one must not silently do nothing. Throws query_invalid,
 * listing the known names, in which `*` stands for any ending.
 */
export function readQuery(c: EdgeContext, known: readonly string[]): Map<string, string> {
  const pairs = parsePairs(new URL(c.req.url).search.slice(1));
  if (!pairs) throw new Refusal('query_invalid', 'Percent-encode the query string as UTF-8; write "%" itself as %25.');
  const query = new Map<string, string>();
  for (const [name, value] of pairs) {
    if (!known.some((k) => (k.endsWith('*') ? name.startsWith(k.slice(0, -1)) : name === k))) {
      throw new Refusal('query_invalid', `${listing(known)} Remove any other query parameter.`);
    }
    if (query.has(name)) throw new Refusal('query_invalid', `Give each query parameter once. ${listing(known)}`);
    query.set(name, value);
  }
  return query;
}

function listing(known: readonly string[]): string {
  return known.length === 0 ? 'This route takes no query parameters.' : `This route takes ${known.join(', ')}.`;
}
