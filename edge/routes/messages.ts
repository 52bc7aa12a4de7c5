import { demand } from '../../shared/grant.ts';
import { parseId } from '../../shared/id.ts';
import { limits } from '../../shared/limits.ts';
import { publish } from '../../shared/scripts/publish.ts';
import { type BodyKind, bodyKindOf, dataOf, readBody } from '../body.ts';
import { channelIn, type Edge, type EdgeContext, type Handler } from '../context.ts';
import { fitting, type Given, givenIn, outgoing } from '../envelope.ts';
import { conflict, idempotencyOf, isReplayed } from '../idempotency.ts';
import { decodeUtf8, parseJson } from '../json.ts';
import { merged, readOptions, readTraceparent, type Said } from '../options.ts';
import { withinRate } from '../rate.ts';
import { envelope } from '../schema.ts';
import { tried } from '../tries.ts';

/**
 * POST /v1/channels/{channel}/messages: the body is `data`. 201 kept and sent; 202 sent, not kept, as the channel's rule or
 * the caller had it, or handed to relays because Redis is away; 200 the answer given before to this Idempotency-Key.
 */
export function publishMessage(edge: Edge): Handler {
  return async (c) => {
    const channel = channelIn(c);
    demand(c.get('grant'), 'publish', [channel]);
    const body = bodyKindOf(c.req.header('Content-Type'));
    const options = readOptions(c);
    const traceparent = readTraceparent(c);
    const bytes = await readBody(c.req.raw, limits.bodyBytesMax);
    const given = givenBy(body, bytes, options);
    const what = [channel, body.kind, given.contentType ?? '', [...given.said].sort()];
    const idempotency = await idempotencyOf(c, what, bytes);

    const message = outgoing(channel, { ...given, traceparent: given.traceparent ?? traceparent }, edge.settings);
    const reply = await withinRate(c, 1, (asked) =>
      tried(edge, [message], () => edge.redis.run(publish, { ...message, seed: edge.seed(), idempotency, ...asked })),
    );
    if ('degraded' in reply) return c.json({ channel, ...reply }, 202);
    if (reply.status === 'conflict') throw conflict();
    return answer(c, channel, reply);
  };
}

function givenBy({ kind, contentType }: BodyKind, bytes: Uint8Array, options: Said): Given {
  if (kind !== 'envelope') {
    return { data: dataOf(kind, bytes), said: options, ...(kind === 'binary' && { contentType }) };
  }
  const text = decodeUtf8(bytes);
  const given = givenIn(fitting(envelope, parseJson(text, 1)), text);
  return { ...given, said: merged(given.said, options, 'header_invalid') };
}

function answer(c: EdgeContext, channel: string, reply: { status: 'new' | 'again'; id: string; stored: boolean }) {
  const { id, stored } = reply;
  const body = { id, channel, timestamp: parseId(id)!.ms, ...(!stored && { stored }) };
  if (isReplayed(c, reply)) return c.json(body, 200, { 'Idempotent-Replayed': 'true' });
  return stored ? c.json(body, 201, { Location: `/v1/channels/${channel}/messages/${id}` }) : c.json(body, 202);
}
