import type { Channel } from '../../shared/channel.ts';
import { parseDuration } from '../../shared/duration.ts';
import { Refusal } from '../../shared/errors.ts';
import { demand } from '../../shared/grant.ts';
import { formatId, type Id, type Position, parseId } from '../../shared/id.ts';
import { limits } from '../../shared/limits.ts';
import type { Revocable } from '../../shared/revocation.ts';
import { type HistoryReply, history, message, purge } from '../../shared/scripts/history.ts';
import type { Entry } from '../../shared/scripts/replies.ts';
import { channelIn, type Edge, type EdgeContext, type Handler } from '../context.ts';
import { type Gap, gapOn, placeOf } from '../gap.ts';
import { readQuery } from '../query.ts';

/**
 * GET /v1/channels/{channel}/messages: one page. Newest first, unless `after` or `since` says where to read on from: then
 * oldest first. `next` is the id to ask on with: as `after` in ascending order, as `before` in descending. `cursor` is the
 * place to poll from: everything up to there is in this answer, or was told in its `gap`.
 */
export function readHistory(edge: Edge): Handler {
  return async (c) => {
    const channel = channelIn(c);
    demand(c.get('grant'), 'read', [channel]);
    const asked = askedIn(c, edge.nowMs());
    const { reply, gap } = await pageOf(edge, channel, asked, c.get('grant').revocable);
    // Spliced as text: every message is one line of JSON already, and stays what its publisher wrote.
    const items = reply?.entries.filter((entry) => entry.json !== '').map((entry) => entry.json) ?? [];
    const last = reply?.more ? reply.entries.at(-1) : undefined;
    const rest = {
      next: last ? formatId(last.epoch, last.position) : null,
      oldest: reply?.oldest ? formatId(reply.oldestEpoch, reply.oldest) : null,
      gap,
      cursor: reply ? cursorAfter(reply, asked, last) : null,
    };
    return c.body(`{"items":[${items.join(',')}],${JSON.stringify(rest).slice(1)}`, 200, {
      'Content-Type': 'application/json',
    });
  };
}

/** Null where newer messages were left out, or nothing can be said of this history. */
function cursorAfter({ clock }: HistoryReply, { before, order }: Asked, last: Entry | undefined): string | null {
  if (before || clock.epoch === '') return null;
  return last && order === 'asc' ? formatId(last.epoch, last.position) : formatId(clock.epoch, clock.tip);
}

/** GET /v1/channels/{channel}/messages/{id}: one kept message, or 404 when it is not, or no longer, kept. */
export function readMessage(edge: Edge): Handler {
  return async (c) => {
    const channel = channelIn(c);
    demand(c.get('grant'), 'read', [channel]);
    const id = cursorIn(c.req.param('id') ?? '');
    readQuery(c, []);
    const entry = await edge.redis.run(message, { by: c.get('grant').revocable, channel, position: id });
    if (!entry?.json || entry.epoch !== id.epoch) {
      throw new Refusal('message_unknown', 'No such message is kept: it was trimmed, has expired, or never was here.');
    }
    return c.body(entry.json, 200, { 'Content-Type': 'application/json' });
  };
}

/** DELETE /v1/channels/{channel}/messages: forgets what is kept. Readers who had not seen all of it are told of a gap. */
export function purgeHistory(edge: Edge): Handler {
  return async (c) => {
    const channel = channelIn(c);
    demand(c.get('grant'), 'admin', [channel]);
    readQuery(c, []);
    await edge.redis.run(purge, { by: c.get('grant').revocable, channel });
    return c.body(null, 204);
  };
}

interface Asked {
  /** The place after which the caller has seen everything; what is missing behind it is told. */
  cursor: Id | undefined;
  since: Position | undefined;
  before: Position | undefined;
  order: 'asc' | 'desc';
  limit: number;
}

async function pageOf(
  edge: Edge,
  channel: Channel,
  asked: Asked,
  by: Revocable | undefined,
): Promise<{ reply: HistoryReply | undefined; gap: Gap | null }> {
  const { cursor, since, before, order, limit } = asked;
  const read = (after: Position | undefined, cursorEpoch: string) =>
    edge.redis.run(history, {
      by,
      channel,
      cursorEpoch,
      ...(after && { after }),
      ...(before && { before }),
      order,
      limit,
      bytesMax: limits.historyBytesMax,
    });
  const reply = await read(cursor ?? since, cursor?.epoch ?? '');
  if (!cursor || order === 'desc') return { reply, gap: null };
  const { from, reset } = placeOf(cursor, reply);
  if (!reset) return { reply, gap: reply ? gapOn(channel, cursor, reply, !reply.more && !before) : null };
  // The cursor is of a history that no longer holds, so the page begins where the two part: asked for again, from there.
  const again = reply && (await read(from, reply.clock.epoch));
  const first = again?.entries[0];
  const oldest = first ? formatId(first.epoch, first.position) : null;
  return { reply: again, gap: { after: formatId(cursor.epoch, cursor), oldest, reason: reset } };
}

function askedIn(c: EdgeContext, nowMs: number): Asked {
  const query = readQuery(c, ['after', 'before', 'since', 'limit', 'order']);
  const [after, before, since] = [query.get('after'), query.get('before'), query.get('since')];
  if (after !== undefined && since !== undefined) {
    throw new Refusal('query_invalid', 'Give after or since, not both: each says where to begin.');
  }
  const limit = query.get('limit') ?? String(limits.historyItemsDefault);
  if (!/^\d{1,4}$/.test(limit) || Number(limit) < 1 || Number(limit) > limits.historyItemsMax) {
    throw new Refusal('query_invalid', `limit: use a whole number from 1 to ${limits.historyItemsMax}.`);
  }
  const order = query.get('order') ?? (after !== undefined || since !== undefined ? 'asc' : 'desc');
  if (order !== 'asc' && order !== 'desc') throw new Refusal('query_invalid', 'order: use asc or desc.');
  return {
    cursor: after === undefined ? undefined : cursorIn(after),
    since: since === undefined ? undefined : placeBefore(since, nowMs),
    before: before === undefined ? undefined : cursorIn(before),
    order,
    limit: Number(limit),
  };
}

function cursorIn(text: string): Id {
  const id = parseId(text);
  if (!id) throw new Refusal('cursor_invalid', 'Use the id of a message as it was given: <epoch>-<ms>-<number>.');
  return id;
}

const RFC3339 = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)$/;

/** The place just before the first message that may be as old as `since`. */
function placeBefore(since: string, nowMs: number): Position | undefined {
  const agoMs = parseDuration(since);
  // A "+" in a query string arrives as a space.
  const time = since.replace(' ', '+');
  const sinceMs = agoMs === undefined ? (RFC3339.test(time) ? Date.parse(time) : Number.NaN) : nowMs - agoMs;
  if (Number.isNaN(sinceMs) || (agoMs ?? 0) > limits.sinceMsMax) {
    throw new Refusal('query_invalid', 'since: use a duration up to 30d, such as 10m, or an RFC 3339 time.');
  }
  // 10 digits: no counter within a millisecond comes near.
  return sinceMs > 0 ? { ms: sinceMs - 1, seq: 9_999_999_999 } : undefined;
}
