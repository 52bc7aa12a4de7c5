import { Refusal } from '../../shared/errors.ts';
import { demand } from '../../shared/grant.ts';
import { limits } from '../../shared/limits.ts';
import { admit } from '../../shared/scripts/revocation.ts';
import { signToken } from '../../shared/token.ts';
import { demandKey } from '../auth.ts';
import type { Edge, Handler } from '../context.ts';
import { fitting } from '../envelope.ts';
import { jsonIn } from '../options.ts';
import { tokenRequest } from '../schema.ts';

/**
 * POST /v1/tokens: a token for one subject, within what the key may mint *and* do itself, so that minting gives nobody
 * more than the key's owner has. `expires` is in ms, like every time here. Redis is asked only whether the key was revoked:
 * without an answer no token is made, since it would outlive the revocation.
 */
export function mintToken(edge: Edge): Handler {
  return async (c) => {
    const grant = c.get('grant');
    demandKey(grant);
    const { sub, channels = [], patterns = [], publish = [], ttl } = fitting(tokenRequest, await jsonIn(c));
    demand(grant, 'mint', [...channels, ...patterns, ...publish]);
    demand(grant, 'read', [...channels, ...patterns]);
    demand(grant, 'publish', publish);

    const { tokens } = edge.settings;
    if (!tokens?.keys.some((key) => key.secret !== undefined || key.jwk?.d !== undefined)) {
      throw new Refusal('not_granted', 'This deployment has no key to sign tokens with. Its operator must set TOKENS.');
    }
    await edge.redis.run(admit, { by: grant.revocable });
    const { token, expiresMs } = await signToken({ sub, channels, patterns, publish }, tokens, {
      nowMs: edge.nowMs(),
      lifeMs: ttl ?? limits.tokenLifeMsMax,
      jti: edge.uuid(),
    });
    if (token.length > limits.tokenBytesMax) {
      const detail = 'The token would grow too long to be sent. Ask for fewer names, or for patterns.';
      throw new Refusal('envelope_invalid', detail, { errors: [{ pointer: '', detail }] });
    }
    return c.json({ token, expires: expiresMs }, 201);
  };
}
