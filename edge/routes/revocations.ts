import type { Pattern } from '../../shared/channel.ts';
import { Refusal } from '../../shared/errors.ts';
import { demand } from '../../shared/grant.ts';
import { limits } from '../../shared/limits.ts';
import { always, revocationNames } from '../../shared/revocation.ts';
import { revoke } from '../../shared/scripts/revocation.ts';
import type { Edge, Handler } from '../context.ts';
import { fitting } from '../envelope.ts';
import { jsonIn } from '../options.ts';
import { revocationRequest } from '../schema.ts';

/** How far apart the clocks of issuers, edges and Redis may be at the worst. */
const slackMs = 60_000;

/**
 * POST /v1/revocations: an API key, a token, or every token of a subject issued before a time. From the answer on no edge
 * serves it, and relays end its streams within a second. A token's revocation ends when no such token can be valid; a key's
 * does not, because a leaked key would come alive again.
 */
export function revokeCredential(edge: Edge): Handler {
  return async (c) => {
    const grant = c.get('grant');
    demand(grant, 'admin', ['*' as Pattern]);
    const { key, jti, sub, before } = fitting(revocationRequest, await jsonIn(c));
    const nowMs = edge.nowMs();
    const lifeMs = limits.tokenLifeMsMax + slackMs;
    const beforeMs = before ?? nowMs;
    if (before !== undefined && (!sub || before < nowMs - lifeMs || before > nowMs + slackMs)) {
      const detail = 'Use milliseconds since 1970, of the last hour, and only with sub.';
      throw new Refusal('envelope_invalid', detail, { errors: [{ pointer: '/before', detail }] });
    }
    const done = await edge.redis.run(revoke, {
      by: grant.revocable,
      name: key ? revocationNames.key(key) : jti ? revocationNames.jti(jti) : revocationNames.sub(sub!),
      beforeMs: sub ? beforeMs : always,
      untilMs: key ? always : beforeMs + lifeMs,
      revocationsMax: limits.revocationsMax,
    });
    if (done) return c.body(null, 204);
    throw new Refusal('rate_limited', `${limits.revocationsMax} revocations are in force. Replace the signing key.`, {
      headers: { 'Retry-After': '600' },
    });
  };
}
