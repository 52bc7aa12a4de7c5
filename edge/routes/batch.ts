import { type Problem, Refusal } from '../../shared/errors.ts';
import { demand, type Grant } from '../../shared/grant.ts';
import { parseId } from '../../shared/id.ts';
import { limits } from '../../shared/limits.ts';
import { type BatchResult, batch } from '../../shared/scripts/batch.ts';
import type { Outgoing } from '../../shared/scripts/publish.ts';
import { demandCredential } from '../auth.ts';
import { bodyKindOf, readBody } from '../body.ts';
import type { Edge, Handler } from '../context.ts';
import { fitting, givenIn, outgoing } from '../envelope.ts';
import { conflict, idempotencyOf, isReplayed } from '../idempotency.ts';
import { decodeUtf8, elementsOf, parseJson } from '../json.ts';
import { readTraceparent, refuseOptions } from '../options.ts';
import { refusalOfKind } from '../problem.ts';
import { withinRate } from '../rate.ts';
import { batchItem } from '../schema.ts';
import { tried } from '../tries.ts';

/** An item as it goes to Redis, or why it does not. */
type Item = Outgoing | Refusal;

/**
 * POST /v1/messages: up to 1,000 envelopes, each with its channel, in one Redis request and one order. Not all or nothing:
 * each item is checked, authorised and answered by itself, at its own place in `results`.
 */
export function publishBatch(edge: Edge): Handler {
  return async (c) => {
    demandCredential(c.get('grant'));
    const { kind } = bodyKindOf(c.req.header('Content-Type'));
    if (kind !== 'json' && kind !== 'envelope') {
      throw new Refusal('content_type_unsupported', 'Send a batch as application/json.');
    }
    refuseOptions(c);
    const traceparent = readTraceparent(c);
    const bytes = await readBody(c.req.raw, limits.batchBytesMax);
    const entries = entriesOf(decodeUtf8(bytes));
    const idempotency = await idempotencyOf(c, ['batch'], bytes);

    const items = entries.map((entry, index) => itemOf(entry, `/${index}`, c.get('grant'), edge, traceparent));
    const sent = items.flatMap((item, index) => (item instanceof Refusal ? [] : [{ ...item, index }]));
    if (sent.length === 0) return c.json({ results: items.map((item) => answerTo(item)) });
    const reply = await withinRate(c, sent.length, (asked) =>
      tried(edge, sent, () => edge.redis.run(batch, { items: sent, seed: edge.seed(), idempotency, ...asked })),
    );
    if ('degraded' in reply) {
      return c.json({
        results: items.map((item) => (item instanceof Refusal ? answerTo(item) : { channel: item.channel, ...reply })),
      });
    }
    if (reply.status === 'conflict') throw conflict();

    const results = new Map(reply.results.map((result) => [result.index, result]));
    const headers = isReplayed(c, reply) ? { 'Idempotent-Replayed': 'true' } : undefined;
    return c.json({ results: items.map((item, index) => answerTo(item, results.get(index))) }, 200, headers);
  };
}

interface Entry {
  value: unknown;
  text: string;
}

function entriesOf(text: string): Entry[] {
  const values = parseJson(text, 2); // the array and the envelope
  if (!Array.isArray(values) || values.length < 1 || values.length > limits.batchMessagesMax) {
    const detail = `Send a JSON array of 1 to ${limits.batchMessagesMax} envelopes.`;
    throw new Refusal('envelope_invalid', detail, { errors: [{ pointer: '', detail }] });
  }
  const texts = elementsOf(text);
  return values.map((value, index) => ({ value, text: texts[index]! }));
}

function itemOf({ value, text }: Entry, at: string, grant: Grant, edge: Edge, traceparent: string | undefined): Item {
  try {
    const fields = fitting(batchItem, value, at);
    demand(grant, 'publish', [fields.channel]);
    const given = givenIn(fields, text);
    if (new TextEncoder().encode(given.data).length > limits.bodyBytesMax) {
      throw new Refusal('body_too_large', `Send at most ${limits.bodyBytesMax} bytes of data in one message.`);
    }
    return outgoing(fields.channel, { ...given, traceparent: given.traceparent ?? traceparent }, edge.settings);
  } catch (error) {
    if (error instanceof Refusal) return error;
    throw error;
  }
}

type Answer = { id: string; channel: string; timestamp: number; stored?: false } | { problem: Problem };

/** What is wrong with the item, else what Redis did, or on a retry what it then had done. */
function answerTo(item: Item, result?: BatchResult): Answer {
  if (item instanceof Refusal) return { problem: item.toProblem() };
  if (!result) {
    const detail = 'This item was refused when its Idempotency-Key was first used. Send it again with a new key.';
    return { problem: new Refusal('idempotency_conflict', detail).toProblem() };
  }
  if ('refused' in result) return { problem: refusalOfKind(result.refused).toProblem() };
  const { id, stored } = result;
  return { id, channel: item.channel, timestamp: parseId(id)!.ms, ...(!stored && { stored }) };
}
