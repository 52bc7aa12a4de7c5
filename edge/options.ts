import * as z from 'zod/mini';
import { Refusal } from '../shared/errors.ts';
import { limits } from '../shared/limits.ts';
import { bodyKindOf, readBody } from './body.ts';
import type { EdgeContext } from './context.ts';
import { decodeUtf8, parseJson } from './json.ts';
import { readQuery } from './query.ts';
import { metaName, metaSizeRule, metaValue, type OptionName, options, traceparent } from './schema.ts';

/** What is said of a message, checked: `type`, `priority`, `key`, `store`, `ttl` (ms), `source`, and `meta-<name>` each. */
export type Said = ReadonlyMap<string, string | number | boolean>;

const names = Object.keys(options) as OptionName[];
const queryNames = [...names, 'meta-*'];
const prefix = 'edgewire-';
const headersRule = `Edgewire-* headers are ${names.map((name) => headerName(name)).join(', ')} and Edgewire-Meta-<name>.`;

/** Options from headers and query. Throws header_invalid or query_invalid: unknown, malformed, or two values for one option. */
export function readOptions(c: EdgeContext): Said {
  const query = new Map<string, string | number | boolean>();
  for (const [name, text] of readQuery(c, queryNames)) {
    query.set(name, checked(name, text, `Query parameter ${nameable(name)}`, 'query_invalid'));
  }
  const headers = new Map<string, string | number | boolean>();
  c.req.raw.headers.forEach((text, header) => {
    if (!header.startsWith(prefix)) return;
    const name = header.slice(prefix.length);
    if (!isOption(name)) throw new Refusal('header_invalid', `${headersRule} Remove any other.`);
    headers.set(name, checked(name, percentDecoded(name, text), headerName(nameable(name)), 'header_invalid'));
  });
  return merged(headers, query, 'query_invalid');
}

/** For routes that take options elsewhere: throws when a header or query parameter would be ignored. */
export function refuseOptions(c: EdgeContext): void {
  readQuery(c, []);
  c.req.raw.headers.forEach((_, header) => {
    if (header.startsWith(prefix)) {
      throw new Refusal('header_invalid', 'Say options inside each message; this route takes no Edgewire-* headers.');
    }
  });
}

/** The body of a small request in JSON, which takes no options. */
export async function jsonIn(c: EdgeContext): Promise<unknown> {
  if (bodyKindOf(c.req.header('Content-Type')).kind !== 'json') {
    throw new Refusal('content_type_unsupported', 'Send the request as application/json.');
  }
  refuseOptions(c);
  return parseJson(decodeUtf8(await readBody(c.req.raw, limits.formBytesMax)));
}

/** The `traceparent` header, checked strictly. Throws header_invalid. */
export function readTraceparent(c: EdgeContext): string | undefined {
  const text = c.req.header('traceparent');
  if (text === undefined) return undefined;
  const result = z.safeParse(traceparent, text.trim());
  if (!result.success) throw new Refusal('header_invalid', result.error.issues[0]!.message);
  return result.data;
}

/** Both. What stands in both must be equal: neither place is the stronger, so a difference is a mistake. Throws for too much meta, too. */
export function merged(a: Said, b: Said, code: 'header_invalid' | 'query_invalid'): Said {
  for (const [name, value] of b) {
    if (a.has(name) && a.get(name) !== value) {
      throw new Refusal(code, `${nameable(name)} is given twice with different values. Give it once.`);
    }
  }
  const both = new Map([...a, ...b]);
  if (metaOf(both).length > limits.metaEntriesMax) throw new Refusal('header_invalid', metaSizeRule);
  return both;
}

/** The meta entries of what was said. */
export function metaOf(said: Said): [string, string][] {
  return [...said].filter(([name]) => name.startsWith('meta-')).map(([name, value]) => [name.slice(5), String(value)]);
}

function isOption(name: string): boolean {
  return Object.hasOwn(options, name) || name.startsWith('meta-');
}

function checked(name: string, text: string, place: string, code: 'header_invalid' | 'query_invalid') {
  const isMeta = name.startsWith('meta-');
  const named = isMeta ? z.safeParse(metaName, name.slice(5)) : undefined;
  const result = named?.success === false ? named : z.safeParse(isMeta ? metaValue : options[name as OptionName], text);
  if (!result.success) throw new Refusal(code, `${place}: ${result.error.issues[0]!.message}`);
  return result.data;
}

/** Header values are ASCII; free text carries the rest percent-encoded as UTF-8, and so `%` as `%25`. */
function percentDecoded(name: string, text: string): string {
  if (!/^[\x20-\x7e]*$/.test(text)) {
    throw new Refusal('header_invalid', 'Percent-encode anything but printable ASCII in headers, as UTF-8: %C3%BC.');
  }
  if (!name.startsWith('meta-') && name !== 'key' && name !== 'source') return text;
  try {
    return decodeURIComponent(text);
  } catch {
    throw new Refusal(
      'header_invalid',
      `${headerName(nameable(name))}: percent-encode UTF-8; write "%" itself as %25.`,
    );
  }
}

/** A name that may be repeated in an answer: ours, or one of the meta grammar. */
function nameable(name: string): string {
  return !name.startsWith('meta-') || z.safeParse(metaName, name.slice(5)).success ? name : 'meta-*';
}

function headerName(name: string): string {
  return `Edgewire-${name.charAt(0).toUpperCase()}${name.slice(1)}`;
}
