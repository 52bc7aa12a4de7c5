import { isDevelopmentKey, looksLikeApiKey } from '../shared/apikey.ts';
import { type Channel, channelRule, type Pattern, parseChannel, parsePattern, patternRule } from '../shared/channel.ts';
import { parseDuration } from '../shared/duration.ts';
import { Refusal } from '../shared/errors.ts';
import { demand, type Grant } from '../shared/grant.ts';
import { parseId } from '../shared/id.ts';
import { limits } from '../shared/limits.ts';
import { type Admission, grantOf, type Head } from './auth.ts';
import type { Start } from './plan.ts';

/** One subscribe request, understood and authorised. */
export interface StreamRequest {
  channels: Channel[];
  patterns: Pattern[];
  start: Start;
  grant: Grant;
}

export const STREAM_PATH = '/v1/stream';

const PARAMETERS = ['channel', 'pattern', 'cursor', 'since', 'rewind', 'token', 'lastEventId'];

/**
 * Reads a stream request. All that was asked for is granted, or none of it: never a silent subset. A malformed query
 * throws; a malformed `Last-Event-ID` does not, because an error status would stop a native EventSource for ever.
 */
export async function readStreamRequest(head: Head, admission: Admission, nowMs: number): Promise<StreamRequest> {
  const query = readQuery(head.target);
  const channels = unique(query.getAll('channel'), limits.streamChannelsMax, 'channel', parseChannel, () => {
    throw new Refusal('channel_invalid', `channel: ${channelRule}`);
  });
  const patterns = unique(query.getAll('pattern'), limits.streamPatternsMax, 'pattern', parsePattern, () => {
    throw new Refusal('pattern_invalid', `pattern: ${patternRule}`);
  });
  if (channels.length + patterns.length === 0) {
    throw new Refusal('query_invalid', 'Name at least one channel or pattern, as in /v1/stream?channel=news.');
  }
  // Polyfills that cannot set the header send it as a parameter; what they say is taken like the header.
  const start = readStart(query, head.header('last-event-id') || query.get('lastEventId'));
  const grant = await grantOf(head, readToken(query), admission, nowMs);
  demand(grant, 'read', [...channels, ...patterns]);
  return { channels, patterns, start, grant };
}

function readQuery(target: string): URLSearchParams {
  const mark = target.indexOf('?');
  const query = new URLSearchParams(mark < 0 ? '' : target.slice(mark + 1));
  const keys = [...query.keys()];
  if (keys.some((key) => !PARAMETERS.includes(key))) {
    throw new Refusal('query_invalid', `Known parameters are ${PARAMETERS.join(', ')}.`);
  }
  for (const single of PARAMETERS.slice(2)) {
    if (query.getAll(single).length > 1) throw new Refusal('query_invalid', `${single}: give it once.`);
  }
  return query;
}

/** URLs are kept in histories and logs, so keys that never expire do not belong there. */
function readToken(query: URLSearchParams): string | undefined {
  const token = query.get('token') ?? undefined;
  if (token === undefined || !looksLikeApiKey(token) || isDevelopmentKey(token)) return token;
  throw new Refusal(
    'credential_invalid',
    'Send an API key as Authorization: Bearer <key>, never in a URL; or mint a token.',
    { headers: { 'WWW-Authenticate': 'Bearer realm="edgewire", error="invalid_token"' } },
  );
}

function unique<Name>(
  texts: string[],
  max: number,
  what: string,
  parse: (text: string) => Name | undefined,
  refuse: () => never,
): Name[] {
  const names = new Set(texts.map((text) => parse(text) ?? refuse()));
  if (names.size > max) {
    throw new Refusal('query_invalid', `${what}: at most ${max} in one stream. Use a pattern, or several streams.`);
  }
  return [...names];
}

/** `Last-Event-ID`, else `cursor`, else `since` or `rewind`, else now. What stands in the query is checked in any case. */
function readStart(query: URLSearchParams, lastEventId: string | null | undefined): Start {
  const asked = readAskedStart(query);
  if (!lastEventId) return asked; // an empty one is what a browser without a cursor might send
  const cursor = parseId(lastEventId);
  return cursor ? { kind: 'resume', cursor } : { kind: 'malformed' };
}

function readAskedStart(query: URLSearchParams): Start {
  const [cursor, since, rewind] = [query.get('cursor'), query.get('since'), query.get('rewind')];
  if ([cursor, since, rewind].filter((given) => given !== null).length > 1) {
    throw new Refusal('query_invalid', 'Give one of cursor, since and rewind.');
  }
  if (cursor !== null) {
    const id = parseId(cursor);
    if (!id)
      throw new Refusal('cursor_invalid', 'cursor: give the id of a message, as a stream or a publish answered it.');
    return { kind: 'resume', cursor: id };
  }
  if (since !== null) {
    const agoMs = parseDuration(since);
    if (agoMs === undefined || agoMs > limits.sinceMsMax) {
      throw new Refusal('query_invalid', 'since: give a time such as 90s, 10m, 2h or 1d, at most 30d.');
    }
    return { kind: 'since', agoMs };
  }
  if (rewind !== null) {
    const count = /^\d{1,4}$/.test(rewind) ? Number(rewind) : 0;
    if (count < 1 || count > limits.rewindMessagesMax) {
      throw new Refusal('query_invalid', `rewind: give a number of messages from 1 to ${limits.rewindMessagesMax}.`);
    }
    return { kind: 'rewind', count };
  }
  return { kind: 'now' };
}
